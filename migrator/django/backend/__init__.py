"""The database backend `migrator.django.backend`; Django looks for `base` in it."""
