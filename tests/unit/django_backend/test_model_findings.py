"""What is said of models, as values; tests.integration has real ones."""

from __future__ import annotations

from dataclasses import replace

from migrator.django.model_facts import Column, Model, Reference, Unique
from migrator.django.model_findings import model_findings

ID = Column("id", "bigint", auto=True)
TENANT_ID = Column("tenant_id", "bigint")
OF_TENANT = Reference("tenant_id", "shop.Tenant", "id")

TENANT = Model("shop.Tenant", "shop_tenant", ("id",), (ID,), (Unique("id_name", ("id", "name")),))
ORDER = Model(
    "shop.Order", "shop_order", ("id",), (ID, TENANT_ID, Column("number", "integer")),
    (Unique("number", ("tenant_id", "number")),), (OF_TENANT,),
)  # fmt: skip
LINE = Model(
    "shop.Line",
    "shop_line",
    ("id",),
    (ID, Column("order_id", "bigint")),
    (),
    (Reference("order_id", "shop.Order", "id"),),
)
REMARK = Model(
    "shop.Remark", "shop_remark", ("id",), (ID,), (Unique("line", ("line_id",)),),
    (Reference("line_id", "shop.Line", "id", unique=True), Reference("other_id", "shop.Country", "id")),
)  # fmt: skip
COUNTRY = Model("shop.Country", "shop_country", ("code",), (Column("code", "char(2)"),), (Unique("name", ("name",)),))
ALL = (TENANT, ORDER, LINE, REMARK, COUNTRY)


def ids(
    *models: Model, reference: tuple[str, ...] = ("shop.Country",), column: str = "tenant_id"
) -> list[tuple[str, str]]:
    found = model_findings(models, column, reference)
    return [(f.id.removeprefix("migrator."), f.subject.removeprefix("shop.")) for f in found if f.id != "migrator.I003"]


def test_a_shop_needs_columns_in_derived_tables_only() -> None:
    assert ids(*ALL) == [("M003", "Line"), ("M003", "Remark")]
    [line, remark] = [f.text for f in model_findings(ALL, "tenant_id", ("SHOP.country",)) if f.id == "migrator.M003"]
    assert "shop.Line.order_id -> shop.Order" in line
    assert "shop.Remark.line_id -> shop.Line.order_id -> shop.Order" in remark


def test_what_has_no_tenant() -> None:
    assert ("M002", "Country") in ids(*ALL, reference=())
    optional = replace(LINE, references=(replace(LINE.references[0], null=True),))
    assert ("M002", "Line") in ids(TENANT, ORDER, optional, COUNTRY)
    unchecked = replace(LINE, references=(replace(LINE.references[0], constrained=False),))
    assert ("M002", "Line") in ids(TENANT, ORDER, unchecked, COUNTRY)
    assert ids(*ALL, reference=("shop.Country", "nothing"))[0] == ("M001", "nothing")
    assert ids(*ALL, column="customer_id") == [("M000", "models")]
    own = replace(COUNTRY, references=(Reference("home_id", "shop.Order", "id"),))
    assert ("M012", "Country") in ids(TENANT, ORDER, own)


def test_tenant_columns() -> None:
    assert ("M004", "Order") in ids(TENANT, replace(ORDER, columns=(ID, replace(TENANT_ID, null=True))))
    other = replace(ORDER, label="shop.Other", columns=(ID, replace(TENANT_ID, type="text")))
    third = replace(ORDER, label="shop.Third")
    assert ids(TENANT, ORDER, third, other) == [("M001", "Country"), ("M005", "Other")]
    assert ("M006", "Order") in ids(TENANT, replace(ORDER, references=(replace(OF_TENANT, changes="SET_NULL"),)))


def test_keys() -> None:
    def unique(*columns: str, plain: bool = True) -> list[tuple[str, str]]:
        return ids(TENANT, replace(ORDER, uniques=(Unique("u", columns, plain),)), COUNTRY)

    assert unique("number") == [("M008", "Order")]
    assert unique("id", "number") == unique("number", "tenant_id") == []
    assert unique("tenant_id", plain=False) == [("M007", "Order")]
    per_order = replace(LINE, uniques=(Unique("u", ("order_id", "number")),))
    assert ("M008", "Line") not in ids(TENANT, ORDER, per_order, COUNTRY), "a parent has one tenant"
    assert ("M008", "Line") in ids(TENANT, ORDER, replace(LINE, uniques=(Unique("u", ("number",)),)), COUNTRY)
    assert ("M008", "Tenant") in ids(replace(TENANT, uniques=(Unique("name", ("name",)),)), ORDER, COUNTRY)


def test_what_limitless_lacks() -> None:
    assert ("M009", "Order") in ids(TENANT, replace(ORDER, exclusions=("no_overlap",)), COUNTRY)
    odd = replace(
        ORDER, columns=(*ORDER.columns, Column("tags", "hstore", by_side=True), Column("g", "int", generated=True))
    )
    assert ids(TENANT, odd, COUNTRY) == [("M010", "Order"), ("M011", "Order")]
    narrow = replace(ORDER, columns=(replace(ID, type="integer"), TENANT_ID), ordering=("id",))
    assert ids(TENANT, narrow, COUNTRY) == [("M013", "Order"), ("M014", "Order")]
    between = replace(LINE, label="shop.Order_tags", made_by="shop.Order")
    found = model_findings((TENANT, ORDER, between), "tenant_id", ())
    assert any("many-to-many" in f.text and "through" in f.hint for f in found)
