"""What facts mean: clocks by the round trip, ways to a server, queues, histories, clusters, limits."""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.control.workers import Loaded, Worker
from migrator.doctor import ask, check
from migrator.doctor.aws import Cluster, Right, principal
from migrator.doctor.checks import aws, clocks, settings, temporal, workers
from migrator.doctor.checks.machine import KNOWN, needed
from migrator.doctor.checks.reach import DO, MATTERS, WORDS
from migrator.doctor.facts import POSTGRES, Facts, Kind, Section, Server, Unasked
from migrator.doctor.finding import Answer, Finding, Level, ok, problem, some, unknown
from migrator.doctor.reach import Stage, effective, hosts, stage_of, where
from migrator.model import session
from migrator.plan.load import from_body
from tests import ROOT

NAMES = [one.name for one in check.every()]


@given(ahead=st.floats(-1e6, 1e6), there=st.floats(0, 30), back=st.floats(0, 30), began=st.floats(1e9, 2e9))
def test_the_doubt_covers_every_way_a_round_trip_can_be_split(
    ahead: float, there: float, back: float, began: float
) -> None:
    """However unequal both ways are, the true difference is within the doubt; so `least` is never too much."""
    found = clocks.skew(began, began + there + ahead, began + there + back)

    assert abs(found.ahead_s - ahead) <= found.doubt_s + 1e-5
    assert found.least() <= abs(ahead) + 1e-5


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(0, 5), st.floats(0, 5))
def test_two_measured_clocks_are_compared_with_both_doubts(one: float, other: float, a: float, b: float) -> None:
    found = clocks.apart(clocks.Skew(one + a, a), clocks.Skew(other - b, b))

    assert abs(found.ahead_s - (one - other)) <= found.doubt_s + 1e-9


def test_the_shortest_round_trip_is_believed() -> None:
    moments = itertools.chain([0.0, 10.0, 20.0, 20.1, 30.0, 35.0], itertools.count(40.0, 4.0))
    found = clocks.measure(lambda: 120.05, clock=lambda: next(moments))

    assert found.ahead_s == pytest.approx(100.0) and found.doubt_s == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("ahead", "doubt", "level"),
    [
        (0.2, 0.01, Level.OK), (-1.5, 0.1, Level.WARNING), (1.5, 0.6, Level.OK), (2.5, 1.4, Level.WARNING),
        (-90.0, 0.1, Level.PROBLEM), (61.0, 2.0, Level.WARNING), (0.0, 3.0, Level.UNKNOWN),
    ],
)  # fmt: skip
def test_what_a_difference_of_clocks_means(ahead: float, doubt: float, level: Level) -> None:
    found = clocks.verdict("classic", "this machine's", clocks.Skew(ahead, doubt))

    assert found.level is level and (level is Level.OK or found.do)


@pytest.mark.parametrize(
    ("why", "stage"),
    [
        ("it refused the user or password", Stage.LOGIN),
        ('role "x" does not exist', Stage.LOGIN),
        ('FATAL:  role "x" is not permitted to log in', Stage.LOGIN),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "x", database "d", SSL off', Stage.LOGIN),
        ("the database does not exist", Stage.DATABASE),
        ('FATAL:  database "x" does not exist', Stage.DATABASE),
        ("SSL error: certificate verify failed", Stage.TLS),
        ('server certificate for "a" does not match host name "b"', Stage.TLS),
        ("root certificate file \"/x\" does not exist", Stage.TLS),
        ("connection timeout expired", Stage.ANSWER),
        ("server closed the connection unexpectedly", Stage.ANSWER),
        ("FATAL:  sorry, too many clients already", Stage.ANSWER),
        ("FATAL:  the database system is starting up", Stage.ANSWER),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", Stage.ANSWER),
    ],
)  # fmt: skip
def test_the_words_of_servers_say_where_it_stopped(why: str, stage: Stage) -> None:
    assert stage_of(why) is stage


def test_every_stage_has_its_words_and_what_to_do() -> None:
    assert set(WORDS) == set(DO) == set(Stage) - {Stage.DONE}
    assert set(MATTERS) == set(POSTGRES)


@pytest.mark.parametrize(
    ("dsn", "servers", "shown"),
    [
        ("postgresql://u:geheim@a:5433,b/d", [("a", 5433), ("b", 5432)], "u@a,b:5433,/d"),
        ("host=/var/run user=u dbname=d password=geheim", [("/var/run", 5432)], "u@/var/run:5432/d"),
        ("hostaddr=10.0.0.1 host=name dbname=d user=u", [("10.0.0.1", 5432)], "u@name:5432/d"),
        ("host=a,b port=1 dbname=d user=u", [("a", 1), ("b", 1)], "u@a,b:1/d"),
    ],
)
def test_servers_of_a_connection_string(dsn: str, servers: list[tuple[str, int]], shown: str) -> None:
    given = effective(dsn)

    assert hosts(given) == servers and where(given) == shown and "geheim" not in where(given)


def worker(name: str, *queues: str) -> Worker:
    return Worker(name, Loaded("p", "d", "1"), 1.0, queues)


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ([], [Level.PROBLEM]),
        ([worker("a", *workers.QUEUES), worker("b", *workers.QUEUES)], [Level.OK]),
        ([worker("a", *workers.QUEUES)], [Level.WARNING]),
        ([worker("a", "incident"), worker("b", "incident")], [Level.PROBLEM] * 3),
    ],
)
def test_queues_are_served_by_somebody(given: list[Worker], levels: list[Level]) -> None:
    assert [found.level for found in workers.judge_living(given)] == levels


def test_one_worker_is_enough_on_one_machine() -> None:
    (found,) = workers.judge_living([worker("a", *workers.QUEUES)], alone=True)
    assert found.level is Level.OK


def test_queues_are_those_that_workers_serve() -> None:
    from workflows.names import Queue

    assert set(workers.QUEUES) == set(Queue) == set(workers.WITHOUT)


@pytest.mark.parametrize(
    ("days", "level"), [(3, Level.WARNING), (89.9, Level.WARNING), (90, Level.OK), (0, Level.OK), (None, Level.UNKNOWN)]
)
def test_closed_workflows_are_kept_for_as_long_as_the_stabilization(days: float | None, level: Level) -> None:
    seconds = None if days is None else days * 86_400
    assert temporal.retention(temporal.Found("a", "1", "default", seconds, 0.1)).level is level


def test_histories_and_tries() -> None:
    found = list(
        temporal.judge_histories(
            "Temporal",
            [
                temporal.Running("a", 50, 1000, "mirror", 7, "classic is unavailable"),
                temporal.Running("b", 20_000, 1000),
                temporal.Running("c", 5, 50 * 2**20),
            ],
        )
    )

    assert [f.level for f in found] == [Level.WARNING] * 3 + [Level.OK]
    assert "try 7: classic is unavailable" in found[0].text and "b's" in found[-1].text


@pytest.mark.parametrize(
    ("status", "level"), [("available", Level.OK), ("modifying", Level.WARNING), (None, Level.PROBLEM)]
)
def test_clusters(status: str | None, level: Level) -> None:
    assert aws.cluster(Cluster("cluster", "shop", status)).level is level


@pytest.mark.parametrize(
    ("denied", "level", "why"),
    [
        ((), Level.OK, ""),
        (("secretsmanager:GetSecretValue", "rds:DeleteDBCluster"), Level.PROBLEM, "connection strings"),
        (("cloudwatch:GetMetricData",), Level.WARNING, "load"),
        (("rds:DeleteDBCluster",), Level.WARNING, "retired"),
    ],
)
def test_rights_on_aws(denied: tuple[str, ...], level: Level, why: str) -> None:
    every = ("secretsmanager:GetSecretValue", "cloudwatch:GetMetricData", "rds:DeleteDBCluster")
    found = aws.rights("AWS", [Right(action, action not in denied) for action in every])

    assert found.level is level and why in found.why


def test_rights_are_simulated_for_a_sessions_role() -> None:
    assert principal("arn:aws:sts::12:assumed-role/worker/i-1") == "arn:aws:iam::12:role/worker"
    assert principal("arn:aws-cn:sts::12:assumed-role/w/s") == "arn:aws-cn:iam::12:role/w"
    assert principal("arn:aws:iam::12:user/ada") == "arn:aws:iam::12:user/ada"


def test_the_tools_own_sessions_are_not_counted_twice() -> None:
    classic = Server(Kind.CLASSIC, "classic")
    free = settings.Connections(100, 3, 80, -1, 0, -1, 0, None, ours=25)
    full = replace(free, ours=0)

    assert [found.level for found in settings.room(classic, free, 40)] == [Level.OK]
    assert [found.level for found in settings.room(classic, full, 40)] == [Level.WARNING]


def test_settings_that_the_tool_sets_are_not_findings() -> None:
    """Nor is what this server does not know; one that decides about rows is a problem, others are warnings."""
    right = {pin.name: pin.value for pin in session.EVERYTHING}

    def levels(**other: str) -> list[Level]:
        return [found.level for found in settings.pinned("classic", {**right, **other})]

    assert levels() == levels(statement_timeout="4s", default_transaction_read_only="on") == [Level.OK]
    assert levels(session_replication_role="replica") == [Level.PROBLEM]
    assert levels(track_activities="off") == [Level.WARNING]


def test_a_check_that_fails_takes_no_other_answer_away() -> None:
    def broken(_: Facts) -> list[Finding]:
        raise ZeroDivisionError("a secret of a row")

    section: Section[int] = Section("facts", frozenset({Kind.CLASSIC}), lambda _link, _plan: 1)
    facts = Facts(None, servers=(Server(Kind.CLASSIC, "classic"),), read={("classic", "facts"): Unasked("no", "42501")})
    first, second = check.findings(check.Check("group.one", (section,), broken), facts)

    assert first.level is Level.PROBLEM and "lacks a right" in first.why
    assert second.level is Level.UNKNOWN and "secret" not in second.text


def test_what_follows_from_another_finding_is_said_once() -> None:
    lost = unknown("Limitless", check.NOT_REACHED)
    answers = [
        Answer("rights", "rights.role", lost),
        Answer("rights", "rights.tables", lost),
        Answer("reach", "reach.servers", problem("Limitless", "it is lost", "", "")),
        Answer("reach", "reach.servers", lost),
        Answer("rights", "rights.role", ok("classic", "fine")),
    ]

    assert ask.once(answers) == [answers[0], answers[2], answers[4]]


def test_every_variable_of_the_tool_is_known() -> None:
    """Those of the docs' table, and those that the only module that reads the environment reads."""
    documented = set(re.findall(r"^\| `(MIGRATOR_[A-Z_]+)` \|", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE))
    read = set(re.findall(r"\bMIGRATOR_[A-Z_]+", (ROOT / "migrator" / "settings.py").read_text()))

    assert documented == KNOWN - {"MIGRATOR_LIMITLESS_DSN"} and read <= KNOWN


def test_many_names_are_cut() -> None:
    assert some(map(str, range(10_000)), 3) == "0, 1, 2 and 9997 more"
    assert some([]) == ""


def test_checks_have_names_of_their_own_and_are_documented() -> None:
    """docs/doctor.md has a row for each group, and names each check in it."""
    _, _, text = (ROOT / "docs" / "doctor.md").read_text().partition("## Groups")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}

    assert len(set(NAMES)) == len(NAMES)
    assert list(rows) == list(dict.fromkeys(one.group for one in check.every()))
    assert [name for name in NAMES if f"`{name}`" not in rows[name.partition(".")[0]]] == []


@pytest.mark.parametrize(
    ("section", "extras"),
    [
        ("", []),
        ('[metrics]\nlisten = "127.0.0.1:9464"\n', ["serve"]),
        ('[metrics]\notlp = "http://127.0.0.1:4318"\n', ["otel"]),
        ('[notify.receiver.topic]\nkind = "sns"\ntopic = "arn:aws:sns:eu-central-1:123456789012:t"\n', ["aws"]),
        ('[board]\ntoken = "aws-secret:board"\n', ["aws"]),
    ],
)
def test_packages_that_a_plan_needs_are_named(section: str, extras: list[str]) -> None:
    """A worker that is started without those of [metrics] is not measured: doctor says so before it happens."""
    plan = from_body(tomllib.loads((ROOT / "plans/demo.toml").read_text() + section))

    assert [extra for extra, _, _ in needed(plan)] == extras
