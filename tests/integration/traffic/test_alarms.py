"""Alarms of others reach the webhook: what they do on classic, once, and never by accident."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from migrator.cli.webhook import certificate
from migrator.control import alarm as noted
from migrator.control.alarm import Noted
from migrator.errors import UsageError
from migrator.plan.alarms import Alarms
from migrator.plan.load import dump, from_body
from migrator.traffic.incident import serve as serving
from migrator.traffic.incident.serve import Certificate, IncidentServer
from migrator.traffic.incident.sources import resolved
from tests import ROOT
from tests.fixtures import alarms as sent
from tests.fixtures.operator import Operator
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import World, end, up

pytestmark = pytest.mark.pg

SECRET = sent.SECRET
LABELLED = {"action": "roll_back", "tenant_label": "tenant"}
ALL = {"action": "roll_back", "all": True}
PLAN: dict[str, Any] = {
    "cloudwatch": {"topics": [sent.TOPIC], "rules": [{**LABELLED, "tenant_label": "TenantId"}, ALL]},
    "alertmanager": {"secret": "env:AM", "rules": [
        {"alarm": "Report*", "action": "report"},
        {"alarm": "Trip*", "action": "breaker", "tenant_label": "tenant"},
        {"alarm": "Trip*", "action": "breaker", "all": True},
        {"alarm": "Wave1", "action": "roll_back", "wave": 1}, {"alarm": "Wave9", "action": "roll_back", "wave": 9},
        {"alarm": "Deploy*", "action": "ignore"},
        {"labels": {"severity": "page"}, **LABELLED}, {"alarm": "Checkout*", **ALL},
    ]},
    "datadog": {"secret": "env:DD", "rules": [LABELLED]},
    "pagerduty": {"secret": "env:PD", "rules": [{"labels": {"service": "Checkout", "priority": "P1"}, **ALL}]},
}  # fmt: skip


class Webhook:
    """A server in a thread, and the senders."""

    def __init__(self, url: str, sns: sent.Sns, verify: ssl.SSLContext | bool = False) -> None:
        self.url, self.sns = url, sns
        self.lines: list[dict[str, Any]] = []
        self.client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def alertmanager(self, *alerts: sent.Json, **other: Any) -> httpx.Response:
        return self.post("/alarms/alertmanager", sent.alertmanager(*alerts, **other), authorization=f"Bearer {SECRET}")

    def cloudwatch(self, message: object, **other: str) -> httpx.Response:
        return self.post("/alarms/cloudwatch", self.sns.notification(message, **other))

    def pagerduty(self, body: sent.Json) -> httpx.Response:
        content = json.dumps(body).encode()
        signature = sent.pagerduty_signature(content, SECRET)
        return self.post("/alarms/pagerduty", content, x_pagerduty_signature=signature)


@contextmanager
def served(dsn: str, plan: Mapping[str, Any] | None = None, **options: Any) -> Iterator[Webhook]:
    sns = sent.Sns()
    sources = resolved(Alarms.model_validate(PLAN if plan is None else plan), lambda reference: SECRET)
    lines: list[dict[str, Any]] = []
    server = IncidentServer(
        ("127.0.0.1", 0), dsn, SECRET, sources=lambda: sources, get=sns.get,
        log=lambda event, fields: lines.append(dict(fields)) if event == "webhook.answered" else None, **options,
    )  # fmt: skip
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    webhook = Webhook(f"http://127.0.0.1:{server.server_address[1]}", sns)
    webhook.lines = lines
    try:
        yield webhook
    finally:
        webhook.client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def levels(world: World) -> dict[str, str]:
    """Where tenants read by their own routes."""
    return dict(world.classic.execute("SELECT tenant_id, level FROM migrator.route ORDER BY 1").fetchall())


def switch(world: World) -> str:
    row = world.classic.execute("SELECT level FROM migrator.switch").fetchone()
    assert row is not None
    return str(row[0])


def decisions(world: World, kind: str) -> list[tuple[str, str, str]]:
    rows = world.classic.execute(
        "SELECT who, subject, reason FROM migrator.decision WHERE kind = %s ORDER BY id", (kind,)
    )
    return [(str(w), str(s), str(r)) for w, s, r in rows]


def incidents(world: World) -> list[tuple[str, str, int]]:
    return world.classic.execute("SELECT kind, reason, times FROM migrator.incident ORDER BY id").fetchall()


def rows(world: World) -> list[tuple[str, str, str]]:
    return world.classic.execute("SELECT source, name, outcome FROM migrator.alarm ORDER BY id").fetchall()


def test_each_sender_brings_back_whom_the_plan_says(world: World) -> None:
    up(world, "t1", "t2", "u1")
    with served(world.classic_dsn) as webhook:
        amazon = webhook.cloudwatch(sent.cloudwatch(TenantId="t1"))
        assert (amazon.status_code, amazon.json()["outcome"]) == (200, "rolled back")
        assert levels(world) == {"t1": "classic", "t2": "limitless", "u1": "limitless"}

        prometheus = webhook.alertmanager(sent.alert(tenant="t2"), sent.alert(tenant="t1"))
        assert [a["target"] for a in prometheus.json()["alarms"]] == ["tenant t2", "tenant t1"]
        assert levels(world)["t2"] == "classic" and switch(world) == "limitless"

        dog = webhook.post(
            "/alarms/datadog", sent.datadog(scope="tenant:u1", tags="tenant:t1"), authorization=f"Bearer {SECRET}"
        )
        assert dog.json()["outcome"] == "rolled back" and levels(world)["u1"] == "classic"

        duty = webhook.pagerduty(sent.pagerduty())
        assert (duty.status_code, switch(world)) == (200, "classic")

    assert [(w, s) for w, s, _ in decisions(world, "rollback.decided")] == [
        ("alarm cloudwatch", "tenant/t1"), ("alarm alertmanager", "tenant/t2"), ("alarm datadog", "tenant/u1"),
        ("alarm pagerduty", "switch"),
    ]  # fmt: skip
    assert (
        decisions(world, "rollback.decided")[1][2]
        == "alarm CheckoutSlow (and 1 more alarm): CheckoutSlow: p99 over 2 s"
    )
    assert rows(world)[0] == ("cloudwatch", "limitless-p99", "rolled back")
    assert [line["outcome"] for line in webhook.lines] == ["rolled back"] * 3 + ["already on classic"]


def test_what_is_over_or_has_no_rule_does_nothing_and_is_recorded(world: World) -> None:
    up(world, "t1")
    with served(world.classic_dsn) as webhook:
        answers = [
            webhook.alertmanager(sent.alert(status="resolved", tenant="t1"), status="resolved"),
            webhook.alertmanager(sent.alert("Other", severity="info")),
            webhook.alertmanager(sent.alert("Deploy7")),
            webhook.alertmanager(),
            webhook.cloudwatch(sent.cloudwatch(state="OK", TenantId="t1")),
            webhook.cloudwatch(sent.cloudwatch(state="INSUFFICIENT_DATA")),
            webhook.cloudwatch("AWS Budgets: you spent money"),
            webhook.pagerduty(sent.pagerduty(kind="incident.resolved")),
            webhook.pagerduty(sent.pagerduty(priority={"summary": "P3"})),
        ]

    assert [(a.status_code, a.json()["outcome"]) for a in answers] == [
        (200, "not firing"), (200, "no rule"), (200, "ignored"), (200, "no alarm"), (200, "not firing"),
        (200, "not firing"), (200, "not firing"), (200, "not firing"), (200, "no rule"),
    ]  # fmt: skip
    assert switch(world) == "limitless" and levels(world) == {"t1": "limitless"} and incidents(world) == []
    assert [outcome for _, _, outcome in rows(world)] == [a.json()["outcome"] for a in answers if a.json()["alarms"]]


def test_an_alarm_that_fires_a_hundred_times_at_once_is_one_rollback(world: World) -> None:
    up(world, "t1", "t2")
    with served(world.classic_dsn) as webhook, ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda _: webhook.alertmanager(sent.alert("CheckoutAll", severity="critical")), range(100))
        )

    assert {a.status_code for a in answers} == {200}
    words = [a.json()["outcome"] for a in answers]
    assert (words.count("rolled back"), words.count("already on classic")) == (1, 99)
    assert len(decisions(world, "rollback.decided")) == 1 and len(incidents(world)) == 1


def test_one_unknown_tenant_keeps_no_other_on_limitless(world: World) -> None:
    """Tenants are any text. What cannot be done is said, and is no reason to try again for ever."""
    names = ["t1", "nobody", "--16", "a\nb", "<script>", "O'Hara", "%s"]
    up(world, "t1")
    with served(world.classic_dsn) as webhook:
        mixed = webhook.alertmanager(*(sent.alert(tenant=name) for name in names))
        wrong = webhook.alertmanager(sent.alert(tenant="t9"), sent.alert("Wave9"))
        wave = webhook.alertmanager(sent.alert("Wave9", tenant="t9"), sent.alert(tenant="t1"))

    assert (mixed.status_code, levels(world)) == (200, {"t1": "classic"})
    assert [a["outcome"] for a in mixed.json()["alarms"]] == ["rolled back"] + ["refused"] * 6
    assert mixed.json()["alarms"][3]["note"] == "there is no tenant a\nb"
    assert (wrong.status_code, wrong.json()["outcome"], "no wave 9" in wrong.text) == (422, "refused", True)
    assert wave.status_code == 200


def test_a_tenant_may_have_any_name(world: World) -> None:
    names = ["--16", "a\nb", "<script>", "O'Hara", "%s", "ünïcode 💥", '"', "\\", "*"]
    for name in names:
        world.classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%s, 2, 'mirrored')", (name,)
        )
    up(world, *names)
    with served(world.classic_dsn) as webhook:
        answer = webhook.alertmanager(*(sent.alert(tenant=name) for name in names))

    assert {a["outcome"] for a in answer.json()["alarms"]} == {"rolled back"}
    assert set(levels(world).values()) == {"classic"}


def test_an_alarm_can_trip_the_breaker_until_a_person_resets_it(world: World) -> None:
    up(world, "t1", "t2")
    with served(world.classic_dsn) as webhook:
        words = [
            webhook.alertmanager(alert).json()["outcome"]
            for alert in [
                sent.alert("TripOne", tenant="t1"),
                sent.alert("TripOne", tenant="t1"),
                sent.alert("TripAll"),
                sent.alert("TripAll"),
            ]
        ]

    assert words == ["fallback raised", "already raised", "fallback raised", "already raised"]
    found = world.classic.execute(
        "SELECT scope, scope_key, level, held, raised_by FROM migrator.fallback ORDER BY 1"
    ).fetchall()
    assert found == [
        ("all", "", "classic", True, "alarm alertmanager"),
        ("tenant", "t1", "classic", True, "alarm alertmanager"),
    ]
    assert switch(world) == "limitless"


def test_an_alarm_is_reported_once_as_long_as_it_fires(world: World) -> None:
    with served(world.classic_dsn) as webhook:
        first = [webhook.alertmanager(sent.alert("ReportSlow")).json()["outcome"] for _ in range(3)]
        again = webhook.alertmanager(sent.alert("ReportSlow", began="2026-11-29T05:00:00Z")).json()["outcome"]

    assert first == ["reported", "already reported", "already reported"] and again == "reported"
    assert [(kind, times) for kind, _, times in incidents(world)] == [("reported", 2)]
    told = world.classic.execute("SELECT who FROM migrator.decision WHERE kind = 'incident.reported'").fetchall()
    assert told == [("alarm alertmanager",)], "others are told, and not each time that it comes and goes"


def test_a_message_that_comes_again_does_nothing_in_any_process(world: World) -> None:
    """Reads went forward again since: what SNS, or somebody who listened, repeats does not bring them back."""
    up(world, "t1", "t2")
    with served(world.classic_dsn) as one, served(world.classic_dsn) as other:
        message = one.sns.notification(sent.cloudwatch(TenantId="t1"))
        event = sent.pagerduty()
        assert one.post("/alarms/cloudwatch", message).json()["outcome"] == "rolled back"
        assert one.pagerduty(event).json()["outcome"] == "rolled back"
        world.classic.execute("UPDATE migrator.switch SET level = 'limitless', epoch = epoch + 1")

        for webhook in (one, other):
            assert webhook.post("/alarms/cloudwatch", message).json()["outcome"] == "replayed"
            assert webhook.pagerduty(event).json()["outcome"] == "replayed"
        assert switch(world) == "limitless"
        assert other.pagerduty(sent.pagerduty()).json()["outcome"] == "rolled back", "a new one acts"


def test_a_signed_request_acts_once(world: World) -> None:
    from time import time

    body = b'{"all": true, "reason": "p99"}'
    with served(world.classic_dsn) as webhook:
        up(world, "t1")
        now = int(time())
        signature = {"x_migrator_signature": f"t={now},v1={serving.sign(SECRET, now, body)}"}
        first = webhook.post("/rollback", body, **signature)
        world.classic.execute("UPDATE migrator.switch SET level = 'limitless', epoch = epoch + 1")
        second = webhook.post("/rollback", body, **signature)

    assert (first.status_code, first.json()["changed"]) == (200, 1)
    assert (second.status_code, second.json()["replayed"], second.json()["changed"], switch(world)) == (
        200,
        True,
        0,
        "limitless",
    )


def test_behind_the_point_of_no_return_every_act_is_refused(world: World) -> None:
    end(world)
    with served(world.classic_dsn) as webhook:
        answers = [
            webhook.pagerduty(sent.pagerduty()), webhook.alertmanager(sent.alert(tenant="t1")),
            webhook.alertmanager(sent.alert("Wave1")), webhook.alertmanager(sent.alert("TripAll")),
            webhook.alertmanager(sent.alert("TripOne", tenant="t1")), webhook.cloudwatch(sent.cloudwatch()),
        ]  # fmt: skip
        quiet = webhook.alertmanager(sent.alert(status="resolved"))

    assert [a.status_code for a in answers] == [409] * 6 and quiet.status_code == 200
    assert world.classic.execute("SELECT count(*) FROM migrator.fallback").fetchone() == (0,)


def test_a_flood_about_single_tenants_does_not_keep_a_rollback_of_all_waiting(world: World) -> None:
    """Neither by its rate, nor by the threads that it holds, nor where both come in one request."""
    up(world, "t1", "t2")
    with served(world.classic_dsn, {**PLAN, "burst": 3, "requests_per_s": 0.001}) as webhook:
        lock = world.classic.execute("BEGIN; LOCK migrator.tenant_hold IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(30) as threads:
            flood = [threads.submit(webhook.alertmanager, sent.alert(tenant="t1")) for _ in range(30)]
            everything = webhook.alertmanager(sent.alert("CheckoutAll", severity="critical"), sent.alert(tenant="t2"))
            direct = webhook.post("/rollback", {"all": True, "reason": "p99"}, authorization=f"Bearer {SECRET}")
            lock.connection.execute("ROLLBACK")
            statuses = sorted(one.result().status_code for one in flood)

    assert [a["outcome"] for a in everything.json()["alarms"]] == ["rolled back", "not done"]
    assert everything.status_code == 503, "the sender has to come again for the other one"
    assert (direct.status_code, switch(world)) == (200, "classic")
    assert statuses.count(503) >= 27


def test_all_come_back_on_tables_without_a_place_for_alarms(world: World) -> None:
    """An earlier version's, or half-way through an upgrade."""
    up(world, "t1")
    world.classic.execute("DROP TABLE migrator.alarm")
    with served(world.classic_dsn) as webhook:
        answer = webhook.cloudwatch(sent.cloudwatch())
        reported = webhook.alertmanager(sent.alert("ReportSlow"))

    assert (answer.status_code, answer.json()["outcome"], switch(world)) == (200, "rolled back", "classic")
    assert reported.json()["outcome"] == "reported"


def test_what_was_done_for_all_is_answered_also_where_the_rest_cannot_be_done(world: World) -> None:
    """Tables of version 1 hold no tenant; the sender must not be told that nothing was done."""
    up(world, "t1", "t2")
    world.classic.execute("UPDATE migrator.installed SET version = 1")
    with served(world.classic_dsn) as webhook:
        both = webhook.alertmanager(sent.alert("CheckoutAll", severity="critical"), sent.alert("Wave1"))
        one = webhook.alertmanager(sent.alert("Wave1"))

    assert [a["outcome"] for a in both.json()["alarms"]] == ["rolled back", "refused"]
    assert (both.status_code, one.status_code, switch(world)) == (200, 409, "classic")


def test_what_is_too_old_is_recorded(world: World) -> None:
    up(world, "t1")
    with served(world.classic_dsn) as webhook:
        answer = webhook.cloudwatch(sent.cloudwatch(TenantId="t1"), Timestamp=sent.stamp(3_700))

    assert (answer.status_code, answer.json()["outcome"]) == (200, "too old")
    assert "alarms.max_age_s: 3600" in answer.json()["alarms"][0]["note"]
    assert rows(world) == [("cloudwatch", "limitless-p99", "too old")] and levels(world) == {"t1": "limitless"}


def test_before_anything_is_installed_nothing_can_be_brought_back(empty_dsn: str) -> None:
    with served(empty_dsn) as webhook:
        assert webhook.pagerduty(sent.pagerduty()).status_code == 409
        assert webhook.alertmanager(sent.alert("Other", severity="info")).json()["outcome"] == "no rule"


@pytest.fixture
def empty_dsn(world: World) -> str:
    world.classic.execute("DROP SCHEMA migrator CASCADE")
    return world.classic_dsn


def test_the_table_of_alarms_keeps_the_newest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noted, "KEPT", 20)
    for number in range(50):
        rows_of_one = [Noted(f"{number}", "firing", 0, "", "", "no rule", "")] * 3
        assert noted.add(world.classic, "datadog", "", rows_of_one, done=True)

    kept = noted.newest(world.classic, 1000)
    assert len(kept) == 20 and kept[0].name == "49"


def test_thousands_of_tenants_in_one_group_are_one_change(world: World) -> None:
    """Alertmanager sends every alert of a group; each sender waits for its answer for so long."""
    names = [f"t{number}" for number in range(4_000)]
    world.classic.execute(
        "INSERT INTO migrator.tenant (tenant_id, part, state) SELECT n, 1, 'mirrored' FROM unnest(%s::text[]) AS n"
        " ON CONFLICT DO NOTHING",
        (names,),
    )
    up(world, *names[:50])
    with served(world.classic_dsn) as webhook:
        answer = webhook.alertmanager(*(sent.alert(tenant=name) for name in names))

    assert (answer.status_code, answer.json()["more"], answer.json()["rollback"]["changed"]) == (200, 3_950, 50)
    assert set(levels(world).values()) == {"classic"} and len(rows(world)) == 50
    assert webhook.lines[0]["seconds"] < 12


def test_a_name_that_no_index_can_hold_is_no_tenant(world: World) -> None:
    """Also where it cannot be looked up in time, and would be held to be safe."""
    up(world, "t1")
    world.classic.execute(
        'UPDATE migrator.plan SET body = \'{"tables": {"schemas": ["app"], "tenant_key": "tenant_id"}}\''
    )
    with served(world.classic_dsn) as webhook, world.classic.transaction():
        world.classic.execute("LOCK app.note IN ACCESS EXCLUSIVE MODE")
        answer = webhook.alertmanager(sent.alert(tenant="x" * 3_000), sent.alert(tenant="u9"))

    assert [a["outcome"] for a in answer.json()["alarms"]] == ["refused", "already on classic"]
    assert answer.json()["rollback"]["held"] == 1 and answer.status_code == 200


def test_a_classic_that_accepts_and_says_nothing_is_waited_for_within_bounds() -> None:
    """A frozen server, or a firewall that drops: the sender hears in time that it has to come again."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        dsn = f"postgresql://migrator@127.0.0.1:{frozen.getsockname()[1]}/app"
        with served(dsn) as webhook, ThreadPoolExecutor(3) as threads:
            answers = list(threads.map(lambda send: send(), [
                lambda: webhook.pagerduty(sent.pagerduty()),
                lambda: webhook.cloudwatch(sent.cloudwatch(TenantId="t1")),
                lambda: webhook.post("/rollback", {"all": True, "reason": "p99"}, authorization=f"Bearer {SECRET}"),
            ]))  # fmt: skip

    assert {(a.status_code, a.headers["retry-after"]) for a in answers} == {(503, "5")}
    assert max(line["seconds"] for line in webhook.lines) < 13


# -- the server itself


def test_a_connection_that_says_nothing_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.2)
    with served(world.classic_dsn) as webhook:
        host, port = webhook.client.base_url.host, webhook.client.base_url.port or 0
        with socket.create_connection((host, port)) as silent, socket.create_connection((host, port)) as slow:
            slow.sendall(b"POST /rollback HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            for one in (silent, slow):
                one.settimeout(TIMEOUT_S)
                with suppress(ConnectionResetError):
                    assert one.recv(1) == b"", "it was answered"
        assert webhook.client.get("/health").status_code == 200


def made_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 with its key, in files."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, key = datetime.now(UTC), sent.key()
    built = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    cert, private = folder / "tls.crt", folder / "tls.key"
    cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


def shown_name(port: int) -> str:
    """The name in the certificate that a server shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as wrapped:
        found = x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True) or b"")
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_a_certificate_that_is_replaced_is_taken_up(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They live for weeks, a migration for months; one half written changes nothing."""
    monkeypatch.setattr(serving, "RENEW_S", 0.05)
    files = made_certificate(tmp_path, "first")
    with served(world.classic_dsn, certificate=Certificate(*files)) as webhook:
        port = webhook.client.base_url.port or 0
        assert shown_name(port) == "first"
        files[0].write_text("-----BEGIN")
        assert shown_name(port) == "first"
        made_certificate(tmp_path, "second")
        eventually(lambda: shown_name(port) == "second", "the new certificate is shown")


def test_a_real_process_takes_alarms_over_tls_by_the_plan_on_classic(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that are stored are read, and the log is one line of JSON for each request, without a secret."""
    up(world, "t1", "t2")
    plan = from_body({"name": "test", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}, "alarms": PLAN})
    world.classic.execute("UPDATE migrator.plan SET body = %s", (json.dumps(dump(plan)),))
    cert, key = made_certificate(tmp_path, "webhook")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("MIGRATOR_")}, "PYTHONPATH": str(ROOT), "AM": SECRET,
        "MIGRATOR_CLASSIC_DSN": world.classic_dsn, "MIGRATOR_INCIDENT_TOKEN": SECRET, "MIGRATOR_LOG_FORMAT": "json",
    }  # fmt: skip
    command = [sys.executable, "-m", "migrator", "incident", "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--tls-cert", str(cert), "--tls-key", str(key)], cwd=tmp_path, env=environment,
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a run in the background would ignore it
    )  # fmt: skip
    try:
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=False, timeout=TIMEOUT_S, trust_env=False
        ) as client:
            eventually(lambda: _alive(client), "it answers")
            token = {"authorization": f"Bearer {SECRET}"}
            one = client.post("/alarms/alertmanager", json=sent.alertmanager(sent.alert(tenant="t1")), headers=token)
            dog = client.post("/alarms/datadog", json=sent.datadog(), headers=token)
            every = client.post("/rollback", json={"all": True, "reason": "p99", "who": "pager"}, headers=token)
            nobody = client.post(
                "/rollback", json={"all": True, "reason": "p99"}, headers={"authorization": "Bearer x"}
            )
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()

    assert (one.status_code, one.json()["outcome"], dog.status_code) == (200, "rolled back", 503), "DD is not set"
    assert (every.status_code, nobody.status_code, switch(world)) == (200, 401, "classic")
    assert process.returncode in (0, 130) and SECRET not in err
    ready, *lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert (ready["event"], ready["sources"]) == (
        "webhook.begun",
        ["cloudwatch", "alertmanager", "datadog", "pagerduty"],
    )
    assert ready["problems"]["datadog"] == "the environment variable DD is not set"
    assert [(x["event"], x["source"], x["status"], x["outcome"]) for x in lines] == [
        ("webhook.answered", "alertmanager", 200, "rolled back"), ("webhook.answered", "datadog", 503, "no secret"),
        ("webhook.answered", "rollback", 200, "rolled back"), ("webhook.answered", "rollback", 401, "not authorized"),
    ]  # fmt: skip

    shown = Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": world.classic_dsn})("incident", "alarms", "--json")
    assert [(row["source"], row["target"], row["outcome"]) for row in shown.json] == [
        ("rollback", "all", "rolled back"), ("alertmanager", "tenant t1", "rolled back"),
    ]  # fmt: skip


def _alive(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_what_cannot_be_served_is_said_before_it_begins(tmp_path: Path) -> None:
    cert, key = made_certificate(tmp_path, "webhook")
    with pytest.raises(UsageError, match="--tls-cert and --tls-key go together"):
        certificate(cert, None)
    for files, said in (((cert, tmp_path / "there.key"), "No such file"), ((key, cert), "cannot be used")):
        with pytest.raises(UsageError, match=said):
            certificate(*files)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="cannot listen on"):
        serving.serve("postgresql://127.0.0.1:1/none", SECRET, port=taken.getsockname()[1])
