"""What Temporal runs: sequence, waiting, messages. Judgements are made in migrator, inside activities."""
