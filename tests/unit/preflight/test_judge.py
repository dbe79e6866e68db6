"""What was not watched, and what did not answer, blocks as what was found does; each is accepted by its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrator.control.sighting import Seen, Watched, is_ours
from migrator.preflight.facts import Aws, ForeignServer, Limits, PreflightFacts, Server, Slot, Stage
from migrator.preflight.judge import blockers, findings
from migrator.preflight.known import looks_like

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
AURORA = Server(160_013, "16.13", True, NOW, 5432)
LIMITS = Limits(classic_cluster="orders", limitless_cluster="orders-limitless")
FINE = PreflightFacts(
    AURORA, AURORA, ("classic.example", 5432), True, ("writer",),
    watched=(Watched("writer", NOW - timedelta(days=8), 168, 8 * 86_400, 60),),
)  # fmt: skip


def seen(application: str, age_s: float = 60, kind: str = "session", **values: Any) -> Seen:
    one = Seen("writer", kind, "app", "bi", application, NOW, NOW, 3, 1, ("10.0.0.1",), age_s)
    return replace(one, **values)


def codes(
    stage: Stage, facts: PreflightFacts, limits: Limits = LIMITS, acknowledged: tuple[str, ...] = ()
) -> list[str]:
    return [blocker.code for blocker in blockers(findings(facts, limits, acknowledged), stage)]


def test_nothing_blocks_where_all_is_watched_and_supported() -> None:
    assert codes(Stage.END, FINE) == codes(Stage.DUAL_WRITE, FINE) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seen": (seen("Tableau 2024"),)}, "preflight.session"),
        ({"seen": (seen("migrator-shim:stranger"),)}, "preflight.session"),
        ({"watched": ()}, "preflight.not_watched"),
        ({"watched": (Watched("writer", NOW - timedelta(days=2), 48, 2 * 86_400, 60),)}, "preflight.not_watched"),
        ({"watched": (Watched("writer", NOW - timedelta(days=30), 100, 30 * 86_400, 60),)}, "preflight.not_watched"),
        ({"watched": (Watched("writer", NOW - timedelta(days=30), 160, 30 * 86_400, 9000),)}, "preflight.not_watched"),
        ({"servers": ("writer", "reader 1")}, "preflight.not_watched"),
        ({"slots": (Slot("cdc", "pgoutput", "logical", "app", True, "cdc", "Debezium", ""),)}, "preflight.slot"),
        ({"slots": (Slot("cdc", "pgoutput", "logical", "app", False, "", "", ""),)}, "preflight.slot"),
        ({"seen": (seen("walreceiver", kind="walsender"),)}, "preflight.walsender"),
        ({"subscriptions": ("erp",)}, "preflight.subscription"),
        ({"dms": ("public.awsdms_ddl_audit",)}, "preflight.dms"),
        ({"databases": ("billing",)}, "preflight.database"),
        (
            {"foreign_servers": (ForeignServer("old", "postgres_fdw", "classic.example", "", "Limitless"),)},
            "preflight.foreign_server",
        ),
        ({"aws": Aws(True, integrations=("to-redshift",))}, "preflight.integration"),
        ({"aws": Aws(True, instances=3)}, "preflight.readers_unwatched"),
    ],
)
def test_what_uses_classic_blocks_the_end_and_not_dual_write(changes: dict[str, Any], code: str) -> None:
    facts = replace(FINE, **changes)

    assert codes(Stage.END, facts) == [code]
    assert codes(Stage.DUAL_WRITE, facts) == []
    assert codes(Stage.END, facts, acknowledged=(code,)) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"classic": replace(AURORA, version_num=130_020, version="13.20")}, "preflight.version_unsupported"),
        ({"classic": replace(AURORA, version_num=140_010, version="14.10")}, "preflight.version_unsupported"),
        ({"classic": replace(AURORA, version_num=990_000, version="99")}, "preflight.version_unknown"),
        ({"limitless": None}, "preflight.version_unknown"),
        ({"sees_all": False}, "preflight.sessions_hidden"),
        ({"aws": Aws(True, regions={"a": "eu-west-1", "b": "eu-central-1"})}, "preflight.region_differs"),
        ({"aws": Aws(True, redundancy=0)}, "preflight.redundancy_low"),
        ({"aws": Aws(True, protected={"orders-limitless": False})}, "preflight.unprotected"),
        ({"aws": Aws(True, denied=("rds:DeleteDBCluster",))}, "preflight.rights_missing"),
        ({"aws": Aws(True, denied=None)}, "preflight.rights_unknown"),
        ({"aws": Aws(True, deprecated=("orders",))}, "preflight.version_deprecated"),
        ({"aws": Aws(True, unknown=("cluster orders (it answered AccessDenied)",))}, "preflight.aws_unknown"),
    ],
)
def test_what_both_sides_need_blocks_dual_write_too(changes: dict[str, Any], code: str) -> None:
    facts = replace(FINE, **changes)

    assert codes(Stage.DUAL_WRITE, facts) == codes(Stage.END, facts) == [code]


def test_classic_has_to_be_protected_until_its_end() -> None:
    facts = replace(FINE, aws=Aws(True, protected={"orders": False}))

    assert (codes(Stage.DUAL_WRITE, facts), codes(Stage.END, facts)) == (["preflight.unprotected"], [])


def test_one_user_is_accepted_by_name_and_the_others_still_block() -> None:
    facts = replace(FINE, seen=(seen("Tableau"), seen("psql")))

    assert codes(Stage.END, facts, acknowledged=("preflight.session:bi/Tableau",)) == ["preflight.session"]
    (left,) = [f for f in findings(facts, LIMITS, ("preflight.session:bi/Tableau",)) if f.blocks(Stage.END)]
    assert left.name == "preflight.session:bi/psql" and "a person or a script" in left.text


def test_who_was_seen_long_ago_is_gone_and_what_is_the_tools_is_no_user() -> None:
    ours = ("migrator-serve", "migrator-cli", "migrator worker", "migrator-shim:web-1")
    facts = replace(
        FINE, processes=frozenset({"web-1"}), seen=(seen("psql", 8 * 86_400), *(seen(name) for name in ours))
    )

    assert codes(Stage.END, facts) == []
    assert not is_ours("migrator", ()) and not is_ours("migrator-shim:web-2", {"web-1"})


def test_replicas_of_the_plan_stream_the_log_and_others_do_not() -> None:
    streams = (seen("r1", kind="walsender"), seen("r2", kind="walsender", addresses=("10.0.0.2",)))
    facts = replace(FINE, seen=streams)

    assert codes(Stage.END, facts, replace(LIMITS, readers=2)) == []
    assert codes(Stage.END, facts, replace(LIMITS, readers=1)) == ["preflight.walsender"]


def test_a_name_of_anybody_stays_one_line_of_text() -> None:
    facts = replace(FINE, seen=(seen("", addresses=("",)), seen('Größe "x"; select', role="select")))

    texts = [str(blocker) for blocker in blockers(findings(facts, LIMITS), Stage.END)]
    assert "an application without a name" in texts[0] and "a local socket" in texts[0]
    assert 'select/Größe "x"; select' in texts[1]


@pytest.mark.parametrize(
    ("application", "name"),
    [
        ("Tableau Desktop 2024.1", "Tableau"),
        ("Metabase v0.49.1 [3e1a]", "Metabase"),
        ("DBeaver 23.1.0 - Main <app>", "DBeaver"),
        ("psql", "psql"),
        ("postgres_fdw", "postgres_fdw"),
        ("Mashup Engine", "Power BI"),
    ],
)
def test_what_it_looks_like(application: str, name: str) -> None:
    assert name in looks_like(application)


def test_a_name_that_only_contains_one_looks_like_nothing() -> None:
    assert looks_like("our-psql-importer") == looks_like("") == ""
