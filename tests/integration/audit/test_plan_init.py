"""Does `plan init` write a plan that `plan check --connect` takes once all is decided, and none that loses rows?"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.audit.plan_init import survey
from migrator.cli.app import run_command
from migrator.plan.load import DECIDE, accepted, from_body

pytestmark = pytest.mark.pg

SHOP = """
CREATE TABLE organizations (id uuid PRIMARY KEY, name text NOT NULL, parent_organization uuid REFERENCES organizations);
CREATE TABLE users (id bigint PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations, email text UNIQUE);
CREATE TABLE orders (id bigint PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations, state text);
CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, sku text);
CREATE TABLE notes (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, body text);
CREATE TABLE countries (code text PRIMARY KEY);
INSERT INTO organizations SELECT md5(n::text)::uuid, 'o', NULL FROM generate_series(1, 3) n;
INSERT INTO orders SELECT n, md5('1')::uuid, 'open' FROM generate_series(1, 9) n;
INSERT INTO items SELECT n, n, 'x' FROM generate_series(1, 9) n;
"""
SPELLED = """
CREATE TABLE "Org" ("Id" bigint PRIMARY KEY);
CREATE TABLE "Member" ("Id" bigint PRIMARY KEY, "orgId" bigint NOT NULL REFERENCES "Org");
CREATE TABLE "Größe Mal" ("Id" bigint PRIMARY KEY, "orgId" bigint NOT NULL REFERENCES "Org", "Maß" text);
CREATE TABLE "Seat Line" ("Line No" bigint PRIMARY KEY, "member id" bigint NOT NULL REFERENCES "Member");
CREATE TABLE audit_log (id bigint PRIMARY KEY, org_id bigint NOT NULL);
CREATE TABLE invoices (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES "Org");
CREATE TABLE invoice_seats (id bigint PRIMARY KEY, "orgId" bigint NOT NULL REFERENCES "Org",
    invoice_id bigint NOT NULL REFERENCES invoices);
"""
OWN_KEY = """
CREATE TABLE tenants (tenant_id int PRIMARY KEY, name text);
CREATE TABLE docs (tenant_id int NOT NULL REFERENCES tenants, id int, PRIMARY KEY (tenant_id, id));
"""
TWO_SCHEMAS = """
CREATE SCHEMA core; CREATE SCHEMA "Sales Data";
CREATE TABLE core.account (id int PRIMARY KEY);
CREATE TABLE "Sales Data".deal (id int PRIMARY KEY, account_id int NOT NULL REFERENCES core.account);
CREATE TABLE "Sales Data"."deal.line" (id int PRIMARY KEY, deal int NOT NULL REFERENCES "Sales Data".deal);
CREATE TABLE core.event (account_id int NOT NULL, at date NOT NULL, PRIMARY KEY (account_id, at))
    PARTITION BY RANGE (at);
CREATE TABLE core.event_2026 PARTITION OF core.event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"""
COMPOSITE = """
CREATE TABLE firms (id int PRIMARY KEY);
CREATE TABLE trips (line text, day date, firm_id int NOT NULL REFERENCES firms, PRIMARY KEY (line, day));
CREATE TABLE "Stops" ("Line" text, day date, pos int, PRIMARY KEY ("Line", day, pos),
    FOREIGN KEY ("Line", day) REFERENCES trips (line, day));
CREATE TABLE photos (id int PRIMARY KEY, line text NOT NULL, day date NOT NULL, pos int NOT NULL,
    FOREIGN KEY (line, day, pos) REFERENCES "Stops");
CREATE TABLE delays (id int PRIMARY KEY, line text NOT NULL, day date, FOREIGN KEY (line, day) REFERENCES trips);
INSERT INTO firms VALUES (1), (2);
INSERT INTO trips SELECT 'S' || n, '2026-01-01', 1 + n % 2 FROM generate_series(1, 6) n;
INSERT INTO "Stops" SELECT line, day, n FROM trips, generate_series(1, 4) n;
INSERT INTO photos SELECT row_number() OVER (), "Line", day, pos FROM "Stops";
"""
NO_KEYS = """
CREATE TABLE mandant (nummer int PRIMARY KEY);
CREATE TABLE konto (mandant_id int NOT NULL REFERENCES mandant, nr int NOT NULL, UNIQUE (mandant_id, nr));
CREATE TABLE buchung (mandant_id int NOT NULL REFERENCES mandant, betrag numeric);
CREATE TABLE beleg (id int PRIMARY KEY, mandant_id int NOT NULL REFERENCES mandant);
CREATE TABLE anhang (id int PRIMARY KEY, beleg_id int NOT NULL REFERENCES beleg);
CREATE TABLE bild (breite int) INHERITS (anhang);
"""
NAMES_ONLY = """
CREATE TABLE tenants (id text PRIMARY KEY);
CREATE TABLE a (tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id));
CREATE TABLE b ("tenantId" text NOT NULL, id int, PRIMARY KEY ("tenantId", id));
CREATE TABLE c (tenant_id text NOT NULL, id int PRIMARY KEY);
CREATE TABLE d (org_id text NOT NULL, id int PRIMARY KEY);
CREATE TABLE e (tenant_id numeric NOT NULL, id int PRIMARY KEY);
"""
GLOBAL_ROWS = """
CREATE TABLE projects (id int PRIMARY KEY);
CREATE TABLE models (id int PRIMARY KEY, project_id int REFERENCES projects, name text);
CREATE TABLE prices (id int PRIMARY KEY, model_id int NOT NULL REFERENCES models);
CREATE TABLE traces (id int PRIMARY KEY, project_id int NOT NULL REFERENCES projects);
CREATE TABLE spans (id int PRIMARY KEY, model_id int NOT NULL REFERENCES models,
    trace_id int NOT NULL REFERENCES traces);
CREATE TABLE counters (id int PRIMARY KEY, n int);
INSERT INTO projects VALUES (1); INSERT INTO models VALUES (1, NULL, 'default'), (2, 1, 'own');
INSERT INTO prices VALUES (1, 1); INSERT INTO traces VALUES (1, 1); INSERT INTO spans VALUES (1, 1, 1);
INSERT INTO counters VALUES (1, 0);
DO $$ BEGIN FOR i IN 1..3000 LOOP UPDATE counters SET n = n + 1; END LOOP; END $$;
SELECT pg_stat_force_next_flush();
"""
VIEWS = """
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE orders_of_every_customer_since_the_beginning (
    id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, external_reference_number text,
    CONSTRAINT external_reference_number_is_unique_over_all_customers UNIQUE (external_reference_number));
CREATE VIEW totals AS SELECT id, external_reference_number, count(*)
    FROM orders_of_every_customer_since_the_beginning GROUP BY id;
"""


class Case:
    """A database on classic, and what `plan init` writes for it."""

    def __init__(self, classic: str, limitless: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.classic, self.path = classic, home / "plan.toml"
        monkeypatch.setenv("CLASSIC_DSN", classic)
        monkeypatch.setenv("LIMITLESS_DSN", limitless)

    def init(self, schema: str, *options: str) -> str:
        with psycopg.connect(self.classic, autocommit=True) as conn:
            conn.execute(schema.encode())
        assert run_command(["plan", "init", str(self.path), "--classic", "env:CLASSIC_DSN", *options]) == 0
        return self.path.read_text()

    def audit(self, schema: str) -> dict[str, Any]:
        with psycopg.connect(self.classic, autocommit=True) as conn:
            conn.execute(schema.encode())
            return survey(conn, schemas=None, aliases={}).to_json()

    def check(self) -> int:
        return run_command(["plan", "check", str(self.path), "--connect"])

    def accept(self) -> None:
        """Do what a person does who takes every proposal."""
        self.path.write_text(self.path.read_text().replace(f'"{DECIDE}', '"'))

    @property
    def tables(self) -> dict[str, Any]:
        return dict(tomllib.loads(self.path.read_text())["tables"]["table"])


@pytest.fixture
def case(classic_dsn: str, limitless_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(classic_dsn, limitless_dsn, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (SHOP, "organization_id"),
        (SPELLED, "orgId"),
        (OWN_KEY, "tenant_id"),
        (TWO_SCHEMAS, "account_id"),
        (NO_KEYS, "mandant_id"),
        (NAMES_ONLY, "tenant_id"),
        (GLOBAL_ROWS, "project_id"),
        (VIEWS, "tenant_id"),
    ],
)
def test_what_is_proposed_is_taken_once_it_is_decided(
    case: Case, schema: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is found. Until a person decides, the only errors are what is to be decided; after, there are none."""
    text = case.init(schema)
    capsys.readouterr()
    undecided = text.count(f'"{DECIDE}')

    assert accepted(tomllib.loads(text))["tables"]["tenant_key"] == key
    assert case.check() == (2 if undecided else 0)
    problems = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  - ")]
    assert len(problems) == undecided and all("to decide" in p for p in problems)
    case.accept()
    assert case.check() == 0, capsys.readouterr().err


def test_the_table_of_tenants_keeps_foreign_keys(case: Case) -> None:
    """It is a reference table, whatever it says of other tenants; no path goes through a column that may be NULL."""
    case.init(SHOP)

    assert case.tables == {
        "public.countries": {"kind": "reference"},
        "public.items": {"kind": "sharded", "via": "order_id -> public.orders.id"},
        "public.notes": {"kind": "reference"},
        "public.orders": {"kind": "sharded"},
        "public.organizations": {"kind": "reference"},
        "public.users": {"kind": "sharded"},
    }
    acknowledged = tomllib.loads(case.path.read_text())["gates"]["acknowledged"]
    assert acknowledged == ["DECIDE unique/public.users.users_email_key"]


def test_a_table_of_tenants_with_the_key_itself_is_sharded_by_it(case: Case) -> None:
    """Then its foreign keys are kept as well, and nothing is left to decide."""
    case.init(OWN_KEY)

    assert case.tables == {"public.docs": {"kind": "sharded"}, "public.tenants": {"kind": "sharded"}}


def test_other_spellings_are_the_same_key(case: Case) -> None:
    """Where that costs a foreign key, or rests on a name alone, a person decides."""
    text = case.init(SPELLED)

    tables = case.tables
    assert tables["public.Größe Mal"] == {"kind": "sharded"}
    assert tables["public.Seat Line"] == {"kind": "sharded", "via": "member id -> public.Member.Id"}
    assert tables["public.audit_log"] == {"kind": "sharded", "tenant_column": "org_id"}
    assert tables["public.invoices"] == {"kind": "DECIDE sharded", "tenant_column": "organization_id"}
    assert tables["public.Org"] == {"kind": "reference"}
    assert "loses the foreign key invoice_seats_invoice_id_fkey of public.invoice_seats" in text


def test_names_alone_are_enough_to_find_a_key(case: Case) -> None:
    """A word for the same thing is to be decided; a type that cannot name a tenant is no key."""
    case.init(NAMES_ONLY)

    tables = case.tables
    assert tables["public.b"] == {"kind": "sharded", "tenant_column": "tenantId"}
    assert tables["public.d"] == {"kind": "DECIDE sharded", "tenant_column": "org_id"}
    assert tables["public.e"]["kind"] == tables["public.tenants"]["kind"] == "reference"


def test_what_cannot_be_followed_is_to_be_decided(case: Case) -> None:
    """A unique key serves where there is no primary key; without one, or with INHERITS, the proposal is to leave it."""
    case.init(NO_KEYS)

    assert case.tables == {
        "public.anhang": {"kind": "DECIDE excluded"},
        "public.beleg": {"kind": "sharded"},
        "public.bild": {"kind": "DECIDE excluded"},
        "public.buchung": {"kind": "DECIDE excluded"},
        "public.konto": {"kind": "sharded", "key": ["mandant_id", "nr"]},
        "public.mandant": {"kind": "reference"},
    }


def test_rows_without_a_tenant_are_counted_before_anything_is_proposed(case: Case) -> None:
    """Neither a key nor a path is proposed that leaves rows behind; another path is tried. And often is by rate."""
    text = case.init(GLOBAL_ROWS)

    tables = case.tables
    assert tables["public.models"] == {"kind": "DECIDE reference"}
    assert tables["public.prices"]["kind"].startswith(DECIDE) or tables["public.prices"] == {"kind": "reference"}
    assert tables["public.spans"] == {"kind": "sharded", "via": "trace_id -> public.traces.id"}
    assert tables["public.counters"] == {"kind": "DECIDE standard"}
    assert "1 of 2 rows have no tenant" in text


def test_a_path_may_lead_through_foreign_keys_of_several_columns(case: Case) -> None:
    """All columns are NOT NULL, or some row has no parent."""
    case.init(COMPOSITE)

    assert case.tables == {
        "public.Stops": {"kind": "sharded", "via": "Line, day -> public.trips.line, day"},
        "public.photos": {"kind": "sharded", "via": "line, day, pos -> public.Stops.Line, day, pos"},
        "public.trips": {"kind": "sharded"},
        "public.firms": {"kind": "reference"},
        "public.delays": {"kind": "reference"},
    }
    assert case.check() == 0


def test_rows_of_tenants_are_counted_through_foreign_keys_of_several_columns(case: Case) -> None:
    report = case.audit(COMPOSITE)

    assert {t["table"]: t["rows"] for t in report["tenants"]["tables"]} == {
        "public.trips": 6, "public.Stops": 24, "public.photos": 24,
    }  # fmt: skip
    assert (report["tenants"]["count"], report["tenants"]["missing_parents"]) == (2, {})


def test_names_in_two_schemas_are_written_as_the_plan_reads_them(case: Case) -> None:
    """Blanks and dots in names; partitions are not named."""
    case.init(TWO_SCHEMAS)

    assert case.tables == {
        'Sales Data."deal.line"': {
            "kind": "sharded",
            "via": "deal -> Sales Data.deal.id",
        },
        "Sales Data.deal": {"kind": "sharded"},
        "core.account": {"kind": "reference"},
        "core.event": {"kind": "sharded"},
    }


def test_a_finding_with_a_long_name_is_accepted_by_its_id(case: Case) -> None:
    """The audit shortens long ids, and provisioning knows the short one."""
    report = case.audit(VIEWS)
    [unique] = [f["id"] for f in report["findings"] if f["rule"] == "LIM-KEY-02"]
    case.init("")
    text = case.path.read_text()
    assert len(unique) < 120 and '"DECIDE view public.totals"' in text
    names = "orders_of_every_customer_since_the_beginning.external_reference_number_is_unique_over_all_customers"
    case.path.write_text(text.replace(f"DECIDE unique/public.{names}", unique))
    case.accept()

    assert unique in case.path.read_text() and case.check() == 0


def test_files_give_the_same_kinds_to_be_decided_where_rows_would_tell(case: Case, tmp_path: Path) -> None:
    """No rate is known from a file, so that a reference table is a person's choice."""
    live = case.init(SHOP)
    schema, path = tmp_path / "s.sql", tmp_path / "files.toml"
    schema.write_text(SHOP)

    assert run_command(["plan", "init", str(path), "--schema", str(schema)]) == 0

    one, other = (accepted(tomllib.loads(text))["tables"] for text in (live, path.read_text()))
    assert one["tenant_key"] == other["tenant_key"]
    assert {n: t for n, t in one["table"].items() if t["kind"] == "sharded"} == {
        n: t for n, t in other["table"].items() if t["kind"] == "sharded"
    }
    found = tomllib.loads(path.read_text())["tables"]["table"]
    assert found["public.organizations"] == {"kind": "DECIDE reference"}
    assert found["public.countries"] == {"kind": "DECIDE standard"}


def test_two_keys_of_one_weight_are_a_persons_choice(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are named, and the plan is refused until one is chosen; --tenant-key chooses."""
    both = "".join(
        f"CREATE TABLE {name} (id int PRIMARY KEY);"
        + "".join(
            f"CREATE TABLE {name}_{n} (id int PRIMARY KEY, {name}_id int NOT NULL REFERENCES {name});" for n in range(3)
        )
        for name in ("team", "project")
    )
    text = case.init(both)

    assert 'tenant_key = "DECIDE project_id" # project_id' in text and "or team_id" in text
    assert case.check() == 2 and "tables.tenant_key" in capsys.readouterr().err
    case.path.unlink()
    assert 'tenant_key = "team_id"' in case.init("", "--tenant-key", "team_id")


def test_a_key_that_no_table_has_is_an_error(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the candidates."""
    case.init(SHOP)
    other = str(case.path.with_name("other.toml"))

    assert run_command(["plan", "init", other, "--classic", "env:CLASSIC_DSN", "--tenant-key", "tennant_id"]) == 2
    assert "organization_id, the key of public.organizations" in capsys.readouterr().err


def test_what_must_be_changed_on_classic_is_foreseen(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """Provisioning's own rules say it before there is a Limitless to ask."""
    text = case.init(
        "CREATE TABLE tenants (id int PRIMARY KEY);"
        "CREATE TABLE t (id smallserial PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);"
    )

    assert "# FIX: sequence public.t_id_seq: its 32,766 values are too few" in text
    assert "To fix first: sequence public.t_id_seq" in capsys.readouterr().out
    assert case.check() == 3


def test_an_undecided_plan_serves_no_command(case: Case) -> None:
    """The word may stand in any value."""
    body = tomllib.loads(case.init(OWN_KEY))
    body["waves"]["hot_ratio"] = 20.0
    assert from_body(body).tables.tenant_key == "tenant_id"

    for section, key, value in (("tables", "tenant_key", "DECIDE tenant_id"), ("gates", "audit", "DECIDE auto")):
        changed = {**body, section: {**body[section], key: value}}
        with pytest.raises(Exception, match=f"{section}.{key}.*to decide"):
            from_body(changed)
