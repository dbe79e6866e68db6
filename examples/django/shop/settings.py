"""Settings, by environment: SHOP_CLASSIC and SHOP_LIMITLESS are connection strings, SHOP_BROKER is Celery's."""

import os

from psycopg.conninfo import conninfo_to_dict

CLASSIC = conninfo_to_dict(os.environ["SHOP_CLASSIC"])
NAMES = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
PLACE = {key: str(CLASSIC.pop(name, "")) for key, name in NAMES.items()}

DATABASES = {
    "default": {
        "ENGINE": "migrator.django.backend",
        **PLACE,
        "OPTIONS": CLASSIC,
        "MIGRATOR": {
            "limitless": os.environ["SHOP_LIMITLESS"],
            "name": os.environ.get("SHOP_NAME", "shop"),
            "tenant_column": "tenant_id",
            "reference": ["shop.Country"],
        },
    },
    # Migrations before the tool came, and `migrate --fake` since.
    "schema": {"ENGINE": "django.db.backends.postgresql", **PLACE, "OPTIONS": CLASSIC},
}

INSTALLED_APPS = ["migrator.django", "shop"]
MIDDLEWARE = ["migrator.django.middleware.TenantMiddleware"]
MIGRATOR_TENANT_OF_REQUEST = "shop.tenants.of_request"
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "for a demonstration only")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True

CELERY_BROKER_URL = os.environ.get("SHOP_BROKER", "redis://127.0.0.1")
CELERY_BROKER_TRANSPORT_OPTIONS = {}
CELERY_TASK_ACKS_LATE = True  # a task whose worker died is done again; it can be
CELERY_TASK_REJECT_ON_WORKER_LOST = True
if CELERY_BROKER_URL == "filesystem://":  # one machine, no server
    _folder = os.environ["SHOP_BROKER_FOLDER"]
    CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": _folder, "data_folder_out": _folder, "control_folder": _folder}
