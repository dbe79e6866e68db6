"""Models on the tables of tests.integration.traffic.world."""

from __future__ import annotations

from django.db import models


class Note(models.Model):
    """A row of app.note. Its key is (tenant_id, id), which not every release of Django can say."""

    id = models.IntegerField(primary_key=True)
    tenant_id = models.TextField()
    body = models.TextField()

    class Meta:
        db_table = '"app"."note"'
        managed = False
