"""Django over psycopg 3: literals written into the text; extended protocol with server_side_binding; atomic blocks."""

import django
from django.conf import settings

from steps import *

base = {"ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "NAME": DATABASE}
bound = {**base, "OPTIONS": {"server_side_binding": True}}
settings.configure(DATABASES={"default": base, "bound": bound}, USE_TZ=True, TIME_ZONE="UTC")
django.setup()

from django.contrib.postgres.fields import ArrayField
from django.db import DatabaseError, IntegrityError, connections, models, transaction


class Item(models.Model):
    name = models.TextField()
    id = models.IntegerField(primary_key=True)
    ok = models.BooleanField()
    at = models.DateTimeField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    raw = models.BinaryField()
    extra = models.JSONField()
    tags = ArrayField(models.TextField())

    class Meta:
        app_label = "drivers"
        db_table = "items"


class Scratch(models.Model):
    id = models.IntegerField(primary_key=True)
    name = models.TextField()

    class Meta:
        app_label = "drivers"
        db_table = "scratch"


COLUMNS = ("id", "name", "ok", "at", "price", "raw", "extra", "tags")


def scratches():
    return list(Scratch.objects.order_by("id").values_list("id", "name"))


def code(error):
    return error.__cause__.sqlstate


connections["default"].ensure_connection()
step("connect", version=f"Django {django.__version__}")
items = Item.objects
step("plain point", items.filter(id=3).values_list("id", "name"))
step("plain get", [(items.get(id=3).name,)])
step("plain many", items.filter(id__gt=5).order_by("id").values_list("id", "name"))
for name, id in (("types", 2), ("nulls", 11)):
    step("plain " + name, items.filter(id=id).values_list(*COLUMNS))
step("plain text", items.filter(name=TEXT_VALUE).values_list("id"))
step("plain count", [(items.filter(ok=True).count(), items.filter(id=1).exists())])
connections["bound"].ensure_connection()
step("connect bound")
for n in range(1, 8):
    step(f"prepared {n}", items.using("bound").filter(id=n).values_list("name"))
with transaction.atomic():
    step("transaction point", items.filter(id=3).values_list("id", "name"))
    with transaction.atomic():
        step("transaction nested", items.filter(id=4).values_list("id", "name"))
with transaction.atomic():
    rows = [(item.id,) for item in items.filter(id__gt=5).order_by("id").iterator(chunk_size=2)]
step("cursor declared", values=rows)
Scratch.objects.create(id=1, name="one")
step("write insert")
step("write read", scratches())
step("write again", scratches())
try:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1 / (id - id) FROM items")
except DatabaseError as error:
    step("error division", sqlstate=code(error))
try:
    with transaction.atomic():
        Scratch.objects.create(id=1, name="again")
except IntegrityError as error:
    step("error unique", sqlstate=code(error))
with transaction.atomic():
    Scratch.objects.create(id=2, name="two")
    try:
        with transaction.atomic():
            Scratch.objects.create(id=1, name="again")
    except IntegrityError as error:
        step("savepoint error", sqlstate=code(error))
step("savepoint read", scratches())
step("update", tag=Scratch.objects.filter(id=1).update(name="other"))
step("write update", scratches())
step("clean", tag=Scratch.objects.all().delete()[0])
connections.close_all()
step("close")
