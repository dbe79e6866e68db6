"""The tool's own tables: their definition, installation and the few statements everybody needs."""
