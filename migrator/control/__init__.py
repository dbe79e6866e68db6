"""The tool's own tables: their definition, installation and the statements that several packages need."""
