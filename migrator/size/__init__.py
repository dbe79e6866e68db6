"""How many workers, partitions and connections, how much memory and time? Facts in, figures with reasons out."""
