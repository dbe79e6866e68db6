"""Words shared by every package: frozen values, standard library only."""
