"""The command line: the outermost ring, the only importer of typer and of workflows."""

from migrator.carried import make_workflows_importable

make_workflows_importable()
