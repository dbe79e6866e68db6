"""The shop's tables."""

from django.db import migrations, models
from django.db.models.deletion import CASCADE, PROTECT

KEY = {"auto_created": True, "primary_key": True, "serialize": False, "verbose_name": "ID"}


class Migration(migrations.Migration):
    """As `makemigrations` found them."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Country",
            fields=[
                ("code", models.CharField(max_length=2, primary_key=True, serialize=False)),
                ("name", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="Tenant",
            fields=[("id", models.BigAutoField(**KEY)), ("name", models.TextField())],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("number", models.BigIntegerField()),
                ("placed_at", models.DateTimeField(auto_now_add=True)),
                ("country", models.ForeignKey(on_delete=PROTECT, to="shop.country")),
                ("tenant", models.ForeignKey(on_delete=CASCADE, to="shop.tenant")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("tenant", "number"), name="order_number")]},
        ),
        migrations.CreateModel(
            name="Line",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("article", models.TextField()),
                ("pieces", models.PositiveIntegerField()),
                ("order", models.ForeignKey(on_delete=CASCADE, to="shop.order")),
                ("tenant", models.ForeignKey(on_delete=CASCADE, to="shop.tenant")),
            ],
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("pieces", models.PositiveIntegerField()),
                ("order", models.ForeignKey(on_delete=CASCADE, to="shop.order")),
                ("tenant", models.ForeignKey(on_delete=CASCADE, to="shop.tenant")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("tenant", "order"), name="invoice_order")]},
        ),
    ]
