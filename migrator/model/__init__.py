"""Values shared by every package: frozen, standard library only."""
