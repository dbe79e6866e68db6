"""A file may name what it does not hold; the rest is audited, and each such name is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.audit.evidence.rows import Evidence
from migrator.audit.files import audit_files, read_schema
from migrator.audit.report.values import AuditReport

POST = "CREATE TABLE public.post (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);\n"


def audit(tmp_path: Path, text: str) -> AuditReport:
    (tmp_path / "s.sql").write_text(POST + text)
    (tmp_path / "q.sql").write_text("SELECT * FROM post WHERE tenant_id = 1;")
    return audit_files(schema=[tmp_path / "s.sql"], statements=[tmp_path / "q.sql"], tenant_key="tenant_id")


def outside(report: AuditReport) -> dict[str, str]:
    return {f.object: f.evidence for f in report.findings if f.rule == "AUD-EVD-06"}


@pytest.mark.parametrize(
    ("text", "obj", "said"),
    [
        ("CREATE TABLE c (p uuid REFERENCES auth.users);", "public.c.c_p_fkey", "auth.users, a table outside"),
        ("CREATE TABLE c (p uuid REFERENCES auth.users (id));", "public.c.c_p_fkey", "(id), a table outside"),
        ('CREATE TABLE c (p int, FOREIGN KEY (p) REFERENCES "My s"."a.b");', "public.c.c_p_fkey", "My s.a.b, a table"),
        ("CREATE VIEW v AS SELECT 1 AS id; CREATE TABLE c (p int REFERENCES v);", "public.c.c_p_fkey", "is a view"),
        ("CREATE TABLE n (x int); CREATE TABLE c (p int REFERENCES n);", "public.c.c_p_fkey", "the primary key"),
        ("CREATE TABLE c (x int) INHERITS (auth.base);", "public.c", "inherits from auth.base"),
        ("CREATE TABLE c PARTITION OF auth.base FOR VALUES IN (1);", "public.c", "a partition of auth.base"),
        ("CREATE TABLE c (LIKE auth.base, x int);", "public.c", "LIKE auth.base"),
        ("CREATE TABLE c AS SELECT * FROM auth.base;", "public.c", "a query makes it"),
        ("CREATE TABLE c (m auth.mood);", "type auth.mood", "public.c.m is of type auth.mood"),
        ("CREATE TABLE c (m mood[]);", "type mood[]", "public.c.m is of type mood[]"),
        ("CREATE TRIGGER t AFTER INSERT ON auth.users EXECUTE FUNCTION f();", "auth.users", "trigger t on a table"),
        ("ALTER TABLE ONLY auth.users ADD CONSTRAINT c PRIMARY KEY (id);", "auth.users", "(AddConstraint)"),
        ("ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;", "auth.users", "(EnableRowSecurity)"),
        ("CREATE INDEX i ON auth.users (id);", "auth.users", "index i on a table"),
        ("CREATE POLICY p ON auth.users USING (true);", "auth.users", "policy p on a table"),
        ("CREATE TABLE c (x int) PARTITION BY LIST (x); ALTER TABLE c ATTACH PARTITION auth.l DEFAULT;", "public.c",
         "partition auth.l is a table outside"),
    ],
)  # fmt: skip
def test_what_leads_outside_is_said_and_the_rest_is_audited(tmp_path: Path, text: str, obj: str, said: str) -> None:
    """Keys, parents, templates, types, and what hangs on tables of others."""
    report = audit(tmp_path, text)

    found = outside(report)
    assert said in found[obj], found
    names = {t.name for t in report.tables}
    assert names >= ({"public.post", "public.c"} if "TABLE c" in text else {"public.post"})
    assert [s.verdict for s in report.statements] == ["single_shard"]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE c (up int REFERENCES c, id int PRIMARY KEY);",
        "CREATE TABLE a (id int PRIMARY KEY, b int REFERENCES b);"
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);",
        "CREATE TABLE c (p int REFERENCES late); CREATE TABLE late (x int); ALTER TABLE late ADD PRIMARY KEY (x);",
        "SET search_path = app, public; CREATE TABLE u (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES u);",
        "SELECT set_config('search_path', 'app', false); CREATE TABLE u (id int PRIMARY KEY); CREATE TABLE c (p int "
        "REFERENCES app.u);",
        "CREATE SCHEMA app CREATE TABLE u (id int PRIMARY KEY) CREATE TABLE c (p int REFERENCES app.u);",
        "CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN d AS text; CREATE TABLE c (m mood, n d, o public.citext);",
        "DO $$ BEGIN CREATE TYPE mood AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "CREATE TABLE c (m mood);",
    ],
)
def test_what_comes_later_or_by_another_path_is_inside(tmp_path: Path, text: str) -> None:
    """Keys to themselves and in circles, keys added later, search paths, schemas with elements, guarded blocks."""
    report = audit(tmp_path, text)

    assert outside(report) == {}
    assert report.evidence["input_rejected"] == 0


def test_a_key_without_columns_means_the_primary_key(tmp_path: Path) -> None:
    """And a way to the tenant is found through it."""
    report = audit(tmp_path, "CREATE TABLE line (post bigint NOT NULL REFERENCES post, id int PRIMARY KEY);")

    line = next(t for t in report.tables if t.name == "public.line")
    assert (line.kind, line.via) == ("sharded", "post -> public.post.id")


def test_guarded_blocks_count_as_run(tmp_path: Path) -> None:
    """DO blocks of migrations: branches, constant EXECUTE; what is built when it runs, or unreadable, is said."""
    report = audit(
        tmp_path,
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_class) THEN CREATE TABLE a (id int); ELSE "
        "EXECUTE 'CREATE TABLE b (id int)'; END IF; EXECUTE format('CREATE TABLE %I ()', 'c'); END $$;"
        "DO LANGUAGE plpython3u $$ x $$; DO $$ BEGIN {{ template }} END $$;",
    )

    assert [t.name for t in report.tables] == ["public.a", "public.b", "public.post"]
    problems = " ".join(report.evidence["problems"])
    assert "a DO block runs 1 texts that are built when it runs" in problems
    assert "a DO block in plpython3u" in problems
    assert report.evidence["input_rejected"] == 2


def test_renames_and_drops_take_what_hangs_on_them_along(tmp_path: Path) -> None:
    """Migrations move tables between schemas, rename columns that keys lead to, and drop with CASCADE."""
    (tmp_path / "s.sql").write_text(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a (id)); "
        "CREATE TABLE gone (id int PRIMARY KEY);"
        "CREATE TABLE c (g int REFERENCES gone); CREATE SCHEMA old; CREATE TABLE old.x (id int);"
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE OR REPLACE FUNCTION f(int) RETURNS int "
        "LANGUAGE sql AS 'SELECT 2'; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "ALTER TABLE a RENAME id TO key; ALTER TABLE a SET SCHEMA app; DROP TABLE gone CASCADE;"
        "DROP SCHEMA old CASCADE;"
        "DROP FUNCTION g(); CREATE TABLE IF NOT EXISTS b (other int);"
    )
    evidence = Evidence()

    read_schema(tmp_path / "s.sql", evidence)

    catalog = evidence.catalog
    assert sorted(catalog.relations) == ["app.a", "public.b", "public.c"]
    assert [(k.parent, k.parent_columns) for k in catalog.relations["public.b"].foreign_keys] == [("app.a", ("key",))]
    assert catalog.relations["public.c"].foreign_keys == []
    assert [(f.name, f.body) for f in catalog.functions] == [("f", "SELECT 2")]
