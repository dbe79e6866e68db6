"""The command line: the outermost ring, the only importer of typer."""
