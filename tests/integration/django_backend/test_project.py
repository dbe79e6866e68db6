"""What a project meets before and beside its requests: settings, checks, the test runner, forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test.utils import override_settings

from migrator.django import reading, tenant, use_shim
from migrator.errors import UsageError
from migrator.shim import Settings, link
from migrator.testing import Level, MemoryShim
from tests import ROOT
from tests.fixtures.django_project import databases
from tests.fixtures.round_trips import RoundTrips
from tests.integration.django_backend.conftest import READS, entry
from tests.integration.django_backend.models import Note
from tests.integration.django_backend.steps import asked, moved, side
from tests.integration.traffic.world import World, body

pytestmark = [pytest.mark.pg, pytest.mark.once]

SLOW_POLLS = Settings(poll_s=60.0, staleness_s=120.0, max_lag_s=1e6)
"""So that the process' own look at the routes is not counted."""


# -- settings --------------------------------------------------------------------------------------------


def test_wrong_settings_are_said_before_anything_connects(world: World) -> None:
    with databases(default={**entry(world), "MIGRATOR": {"limitles": "x", "pool_size": 0}}):
        with pytest.raises(ImproperlyConfigured) as caught:
            asked("SELECT 1")
    for problem in ("limitles", "pool_size", "'limitless' is missing"):
        assert problem in str(caught.value)
    with databases(default=entry(world), reads={**READS, "MIGRATOR": {"reads_of": "reads"}}):
        with pytest.raises(ImproperlyConfigured, match="does not write"):
            asked("SELECT 1", using="reads")


def test_each_transaction_is_prepared_on_either_side(world: World) -> None:
    told: list[Any] = []

    def prepare(conn: Any, name: str | None) -> None:
        told.append(name)
        if name == "wrong":
            raise ZeroDivisionError
        conn.execute("SELECT set_config('app.tenant', %s, true)", (name or "",))

    with databases(default=entry(world, prepare=prepare), reads=READS):
        moved(world, "t1")
        with tenant("t1"):
            assert asked("SHOW app.tenant") == "t1"
            with transaction.atomic():
                assert [asked("SHOW app.tenant"), asked("SHOW app.tenant")] == ["t1", "t1"]
            with reading():
                assert (side(), asked("SHOW app.tenant")) == ("limitless", "t1")
        assert asked("SHOW app.tenant") == ""
        assert told == ["t1", "t1", "t1", "t1", None]
        with tenant("wrong"), transaction.atomic():
            for _ in range(2):  # nothing runs where it failed
                with pytest.raises(ZeroDivisionError):
                    asked("SELECT 1")


def test_what_statements_cost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RECENT_S", 1e6)  # a busy machine rests longer
    with RoundTrips(world.classic_dsn) as between:
        given = entry(world, classic=between.dsn, settings=SLOW_POLLS, listen=False)
        with databases(default=given), tenant("u1"):
            Note.objects.create(tenant_id="u1", id=1, body="x")

            def taken() -> list[str]:
                """What was said for the statements, a message each; COMMIT, and the look of the process, apart."""
                heard = [said for said in between.taken() if b'"note"' in said or b"before_commit" in said]
                return [
                    " and ".join(word for word in ("BEGIN", "SELECT body", "UPDATE", "before_commit") if word in text)
                    for text in (said.decode(errors="replace").replace('SELECT "app"', "SELECT body") for said in heard)
                ]

            between.taken()
            Note.objects.filter(id=1).update(body="y")
            assert taken() == ["BEGIN and UPDATE", "before_commit"]
            with transaction.atomic():
                assert Note.objects.get(id=1).body == "y"
                Note.objects.filter(id=1).update(body="z")
            assert taken() == ["BEGIN and SELECT body", "UPDATE", "before_commit"]
            with transaction.atomic():
                pass
            assert taken() == []
            assert Note.objects.get(id=1).body == "z"
            with reading():
                assert Note.objects.get(id=1).body == "z"
            assert taken() == ["BEGIN and SELECT body"] * 2


# -- checks ----------------------------------------------------------------------------------------------


def test_the_system_checks_say_what_is_wrong(world: World) -> None:
    wrong = {**entry(world), "ATOMIC_REQUESTS": True, "OPTIONS": {"pool": True}}
    with databases(default=wrong), override_settings(MIDDLEWARE=[], MIGRATOR_TENANT_OF_REQUEST=None):
        found = {message.id: message.level for message in checks.run_checks(tags=["migrator"])}
    assert found == {
        "migrator.E002": checks.ERROR, "migrator.W002": checks.WARNING, "migrator.W005": checks.WARNING,
        "migrator.W006": checks.WARNING,
    }  # fmt: skip


def run_check(*words: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("migrator_check", *words, stdout=out)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue()
    return 0, out.getvalue()


def test_models_are_judged_without_a_server(world: World) -> None:
    unreachable = {**entry(world), "HOST": "/nowhere"}
    with databases(default=unreachable), override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        shared = [w for app in ("auth", "contenttypes", "sessions") for w in ("--reference", app)]
        code, text = run_check("--tenant-column", "tenant_id", *shared)
        assert (code, "0 errors" in text) == (0, True), text
        assert run_check("--tenant-column", "tenant_id", *shared, "--strict")[0] == 3, "there is no middleware"
        code, text = run_check("--tenant-column", "tenant_id", "--reference", "auth", "--json")
        answer = json.loads(text)
        assert code == 3
        assert {f["subject"] for f in answer["findings"] if f["id"] == "migrator.M002"} == {
            "contenttypes.ContentType", "sessions.Session",
        }  # fmt: skip
        assert answer["errors"] == sum(f["severity"] == "error" for f in answer["findings"]) == 2
        assert run_check("--tenant-column", "customer", *shared)[0] == 3
        for wrong, text in ((["--database", "x"], "there is no database 'x'"), ([], "--tenant-column")):
            with pytest.raises(CommandError, match=text) as caught:
                run_check(*wrong)
            assert caught.value.returncode == 2


# -- the test runner -------------------------------------------------------------------------------------


def test_the_test_runner_has_a_plain_database_that_a_test_may_route(world: World) -> None:
    name = connection.creation._get_test_db_name()
    before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, serialize=False, autoclobber=True)
    try:
        connections["reads"].creation.set_as_test_mirror(connection.settings_dict)
        assert asked("SELECT current_database()") == name
        assert asked("SELECT count(*) FROM django_content_type") > 0, "migrations ran"
        with transaction.atomic():
            asked("INSERT INTO django_content_type (app_label, model) VALUES ('a', 'b') RETURNING id")
            seen = asked("SELECT count(*) FROM django_content_type WHERE app_label = 'a'", using="reads")
            assert seen == 1, "a test's own transaction is seen through the other alias"
            with reading("t1"):
                assert asked("SELECT count(*) FROM django_content_type") > 0
            with pytest.raises(UsageError, match="a transaction is open"), use_shim(_memory(world, name)):
                pass
        with _memory(world, name) as shim, use_shim(shim), tenant("t1"):
            shim.move("t1", Level.LIMITLESS)
            asked("UPDATE django_content_type SET model = 'c' WHERE app_label = 'a' RETURNING id")
            with reading():
                assert asked("SELECT model FROM django_content_type WHERE app_label = 'a'") == "c"
            assert asked("SELECT 1", using="reads") == 1
            assert [b.side.value for b in shim.heard.blocks if not b.writes] == ["limitless", "limitless"]
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)
    assert side() == "classic"


def _memory(world: World, name: str) -> MemoryShim:
    return MemoryShim(classic=psycopg.conninfo.make_conninfo(world.classic_dsn, dbname=name))


# -- processes -------------------------------------------------------------------------------------------

FORK = """
import os, sys, traceback, django
from django.conf import settings
sys.path.insert(0, sys.argv[1])
given = eval(sys.stdin.read())
settings.configure(DATABASES={"default": given}, INSTALLED_APPS=["migrator.django"], SECRET_KEY="x")
django.setup()
from django.db import connection, transaction
from migrator.django import tenant, shim_of, close_shims

def put(number):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO app.note VALUES ('t1', %s, 'x')", (number,))

with tenant("t1"):
    put(1)
    parents = shim_of()
    transaction.set_autocommit(False)
    put(2)  # a transaction that goes on in the parent
    child = os.fork()
    if not child:
        code = 1
        try:
            connection.close()
            put(3)
            assert shim_of() is not parents
            with transaction.atomic():
                put(4)
            close_shims()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    put(5)
    transaction.commit()
    transaction.set_autocommit(True)
    put(6)
    assert shim_of() is parents
"""


def test_a_forked_child_has_a_shim_of_its_own(world: World) -> None:
    """In the middle of a transaction of the parent, which goes on."""
    given = entry(world)
    del given["MIGRATOR"]["settings"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK, str(ROOT)], input=repr(given), capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [body(world, "t1", n) for n in range(1, 7)] == ["x"] * 6
    assert world.classic.execute("SELECT count(*) FROM migrator.process").fetchone() == (0,), "both have left"
