"""The dossier: what was decided, by whom and on which evidence, as one signed file that needs no classic."""
