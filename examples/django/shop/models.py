"""Tables of the shop. Every one but Country has the tenant, and every unique key holds it."""

from django.db import models


class Country(models.Model):
    """Belongs to no tenant: a reference table, copied to every shard."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.TextField()


class Tenant(models.Model):
    """One customer of the shop's owner."""

    name = models.TextField()


class Order(models.Model):
    """What somebody bought. number: the client's, so that an order can be sent again when the answer was lost."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    number = models.BigIntegerField()
    country = models.ForeignKey(Country, models.PROTECT)
    placed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "number"], name="order_number")]


class Line(models.Model):
    """One article of an order."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    order = models.ForeignKey(Order, models.CASCADE)
    article = models.TextField()
    pieces = models.PositiveIntegerField()


class Invoice(models.Model):
    """Made by a task, once for each order."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    order = models.ForeignKey(Order, models.CASCADE)
    pieces = models.PositiveIntegerField()

    class Meta:
        # Not a OneToOneField: its unique key would lack the tenant.
        constraints = [models.UniqueConstraint(fields=["tenant", "order"], name="invoice_order")]
