"""The mirror: brings Limitless to classic's state, cycle by cycle."""
