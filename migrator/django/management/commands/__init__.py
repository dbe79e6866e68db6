"""Commands for manage.py, by the names of their modules."""
