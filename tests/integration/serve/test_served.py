"""The board is read by anybody, ordered by those who sign in, and says so while classic does not answer."""

from __future__ import annotations

import html
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.model.route import FallbackScope
from migrator.model.shell import argument
from migrator.model.shown import plain
from migrator.shim.fallback import raise_fallback
from tests.fixtures.operator import Operator
from tests.fixtures.postgres import Machines, Servers, fresh_name
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.serve.served import (
    HOSTILE,
    READ_TOKEN,
    STATES,
    TOKEN,
    Served,
    cutover,
    hidden,
    incident,
    nothing_installed,
    serving,
    sign_in,
    tenants,
)

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def home(machines: Machines) -> Iterator[tuple[str, Served]]:
    """A classic of this module, and a board server before it whose token lets people act."""
    name = fresh_name("board")
    dsn = machines.new_classic(name)
    with serving(dsn, MIGRATOR_BOARD_TOKEN=TOKEN) as served:
        yield dsn, served
    machines.drop(classic=name)


@pytest.fixture
def classic(home: tuple[str, Served]) -> Iterator[Connection]:
    """That classic; nothing is installed there."""
    with connect(home[0], "test") as conn:
        nothing_installed(conn)
        yield conn


@pytest.fixture
def classic_dsn(home: tuple[str, Served]) -> str:
    return home[0]


@pytest.fixture
def board(classic: Connection, home: tuple[str, Served]) -> Served:
    """The server, beside a cutover that goes on."""
    cutover(classic)
    with home[1].client() as client:
        shows(client, "Cutover runs")
    return home[1]


def shows(client: httpx.Client, text: str) -> str:
    """The board, once it says *text*: it looks twice a second."""

    def look() -> str:
        page = client.get("/").text
        return page if text in text_of(page) else ""

    said: str = eventually(look, f"the board says {text!r}", every_s=0.1)
    return said


@pytest.fixture
def ada(board: Served) -> Iterator[httpx.Client]:
    """A browser in which Ada is signed in."""
    with board.client(follow_redirects=True) as client:
        assert sign_in(client).status_code == 200
        yield client


def ask(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Fill in the form at *path* and send it; the answer shows what would be done."""
    form = client.get(path)
    return client.post(path, data={"csrf": hidden(form.text, "csrf"), **fields}, headers=own(client))


def confirm(client: httpx.Client, shown: httpx.Response) -> httpx.Response:
    fields = {name: hidden(shown.text, name) for name in ("csrf", "number")}
    return client.post("/do", data=fields, headers=own(client))


def own(client: httpx.Client) -> dict[str, str]:
    return {"Origin": str(client.base_url), "Accept": "text/html"}


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_its_sentence(classic: Connection, home: tuple[str, Served], state: str) -> None:
    STATES[state](classic)
    said = {
        "calm": "Cutover runs; nothing waits for a person",
        "gate": "The gate wave-3 waits for an approval",
        "incident": "All reads come from classic: rolled back by Grace (p99 tripled at 03:10)",
        "finished": "Finished: reads and writes are on Limitless",
    }[state]

    with home[1].client() as client:
        shows(client, said)
        status = client.get("/api/status").json()
        assert client.get("/health").json() == {"ok": True}
        assert client.get("/ready").json() == {"ready": True}
        metrics = client.get("/metrics")

    mine = plain(collect(classic))
    assert status.keys() == mine.keys()
    for key in ("phase", "waves", "held", "blockers"):
        assert status[key] == mine[key]
    assert "migrator_up" in metrics.text


def test_before_the_installation_it_says_how_to_start(classic: Connection, home: tuple[str, Served]) -> None:
    with home[1].client() as client:
        page = text_of(shows(client, "No migration runs on this cluster"))
        assert client.get("/log").status_code == 503

    assert "migrator run --plan" in page


def test_tenants_are_found_page_by_page_whatever_they_are_called(board: Served, classic: Connection) -> None:
    """10,000 of them, in pages of 50; names that are markup, line breaks or options are text, each found by itself."""
    tenants(classic, [f"shop-{n:05}" for n in range(10_000)], 1)
    tenants(classic, list(HOSTILE), None, "classic")
    with board.client() as client:
        first = client.get("/tenants", params={"q": "SHOP-"})
        following = client.get(html.unescape(re.findall(r'rel="next" href="([^"]*)"', first.text)[0]))
        pages = [client.get("/tenants", params={"q": name}) for name in HOSTILE]
        none = client.get("/tenants", params={"q": "no such"})
        wrong = client.get("/tenants", params={"show": "limitles"})

    assert first.text.count('class="id"') == 50 and "shop-00049" in first.text
    assert "shop-00050" in following.text and "shop-00049" not in following.text
    for name, page in zip(HOSTILE, pages, strict=True):
        assert page.text.count('class="id"') == 1, name
        assert not re.search(r"<(script|img)\b(?! src=\"/static)", page.text)
    assert "a\\x0ab" in pages[2].text and "\\u202e" in pages[7].text
    assert "No tenant is like that" in none.text
    assert wrong.status_code == 400 and "Did you mean limitless?" in wrong.text


def test_tenants_are_shown_by_what_was_made_of_them(classic: Connection, home: tuple[str, Served]) -> None:
    incident(classic)
    with home[1].client() as client:
        found = {
            show: re.findall(r'class="id">([^<]*)', client.get("/tenants", params={"show": show}).text)
            for show in ("held", "quarantined", "limitless", "fallen_back")
        }

    assert found == {
        "held": ["tenant-0003"], "quarantined": ["tenant-0031"], "limitless": [],
        "fallen_back": [f"tenant-{n:04}" for n in range(1, 51)],
    }  # fmt: skip


def test_the_decision_log_is_read_to_its_first_line(board: Served, classic: Connection) -> None:
    classic.execute(
        "INSERT INTO migrator.decision (who, kind, subject, reason)"
        " SELECT 'x', 'test.counted', 'n/' || n, '' FROM generate_series(1, 120) n"
    )
    seen: list[str] = []
    with board.client() as client:
        path = "/log"
        while path:
            page = client.get(path).text
            seen += re.findall(r"<td>(n/\d+)</td>", page)
            older = re.findall(r'rel="next" href="([^"]*)"', page)
            path = older[0] if older else ""

    assert seen == [f"n/{n}" for n in range(120, 0, -1)]


# -- live ----------------------------------------------------------------------------------------------------


def test_viewers_are_sent_what_changed_from_one_look(board: Served, classic: Connection) -> None:
    """Twenty viewers cost classic no more than one; each hears of a change."""
    with board.client() as client:
        version = re.findall(r'data-version="(\d+)"', client.get("/").text)[0]
        heard: list[dict[str, Any]] = []

        def listen() -> None:
            with board.client() as mine, mine.stream("GET", "/events", params={"v": version}) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data: {") and "quarantined" in line:
                        heard.append(json.loads(line[6:]))
                        return

        viewers = [threading.Thread(target=listen) for _ in range(20)]
        for viewer in viewers:
            viewer.start()
        # One that the page was read with may be closing.
        eventually(
            lambda: (
                classic.execute(
                    "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'migrator-serve'"
                    " AND datname = current_database()"
                ).fetchone()
                == (True,)
            )
        )
        classic.execute("UPDATE migrator.tenant SET state = 'quarantined' WHERE tenant_id = 'tenant-0040'")
        for viewer in viewers:
            viewer.join(60)

    assert len(heard) == 20
    assert all("tenants" in news["sections"] and "health" in news["order"] for news in heard)


def test_it_ends_at_once_with_streams_open(classic: Connection, classic_dsn: str) -> None:
    """And lets no more than so many be opened."""
    cutover(classic)
    with serving(classic_dsn, "--most-viewers", "1") as served:
        with served.client() as client, client.stream("GET", "/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            refused = client.get("/events")
            code = served.end()
            list(lines)  # the stream has an end

    assert refused.status_code == 503 and refused.headers["retry-after"] == "30"
    assert code == 0
    assert not [line for line in served.said if "Traceback" in line]


# -- classic does not answer ---------------------------------------------------------------------------------


def test_the_last_known_state_is_shown_while_classic_is_down_or_frozen(servers: Servers) -> None:
    """With its age; and the present one as soon as it is back."""
    with connect(servers.classic_dsn, "test") as conn:
        cutover(conn)
    with serving(servers.classic_dsn, MIGRATOR_BOARD_TOKEN=TOKEN) as served, served.client() as client:
        shows(client, "Cutover runs")
        server = servers.classic
        for broken, whole in ((server.freeze, server.thaw), (server.kill, server.start)):
            broken()
            page = eventually(lambda: lost(client), "it is said that classic does not answer", every_s=0.2)
            assert "Cutover runs" in page and re.search(r"the last known state, \d", page)
            assert "Last known: Cutover runs" in page
            status = client.get("/api/status")
            assert (status.status_code, status.json()["exit_code"]) == (503, 5)
            assert status.json()["last"]["phase"] == "cutover"
            assert client.get("/ready").status_code == 503 and client.get("/health").status_code == 200
            assert client.get("/tenants").status_code == 503
            whole()
            eventually(lambda: client.get("/ready").status_code == 200, "it is back", every_s=0.2)


def lost(client: httpx.Client) -> str:
    page = text_of(client.get("/").text)
    return page if "Classic does not answer" in page else ""


def test_classic_that_was_never_there_is_said_to_be_unknown() -> None:
    with serving("postgresql://u:geheim@127.0.0.1:1/db") as served, served.client() as client:
        page = client.get("/").text

    assert "Sign in" not in page and 'class="act"' not in page, "without a token"
    assert "Classic does not answer" in page and "none to show" in page
    assert "geheim" not in page


# -- orders --------------------------------------------------------------------------------------------------


def test_nothing_is_ordered_without_signing_in(board: Served, classic: Connection) -> None:
    with board.client() as client:
        page = client.get("/")
        refused = [
            client.get("/act/rollback"),
            client.post("/act/rollback", data={"scope": "all", "reason": "x"}, headers=own(client)),
            client.post("/do", data={"number": "1", "csrf": ""}, headers=own(client)),
        ]

    assert "Sign in" in page.text
    assert [r.status_code for r in refused] == [303, 303, 403]
    assert refused[0].headers["location"] == "/sign-in?next=%2Fact%2Frollback"
    assert collect(classic).switch == "limitless"


def test_a_rollback_is_shown_then_done_once_in_the_name_of_who_signed_in(
    ada: httpx.Client, classic: Connection
) -> None:
    shown = ask(ada, "/act/rollback", scope="all", reason="p99 tripled")
    assert "30 tenants move: tenant-0001" in text_of(shown.text)
    assert collect(classic).switch == "limitless", "nothing was done yet"

    done = confirm(ada, shown)
    again = confirm(ada, shown)

    assert "reads of 30 tenants moved" in text_of(done.text) and again.url == done.url
    status = collect(classic)
    assert (status.switch, status.switch_by, status.switch_reason) == ("classic", "Ada", "p99 tripled")
    assert status.incidents == 1
    shows(ada, "rolled back by Ada")


def test_a_tenant_of_any_name_is_held_and_released_as_it_is_called(ada: httpx.Client, classic: Connection) -> None:
    names = (*HOSTILE, "")
    tenants(classic, list(names), 3)
    for name in names:
        path = str(httpx.URL("/act/hold", params={"tenant": name}))
        shown = ask(ada, path, reason="their release", until="2099-12-24 08:00")
        assert f"migrator tenant release {argument(name)}" in html.unescape(shown.text), "what undoes it can be typed"
        done = confirm(ada, shown)
        assert "1 tenant is held now" in text_of(done.text), name

    held = {h.tenant: (h.held_by, h.reason) for h in collect(classic).held}
    assert held == dict.fromkeys(names, ("Ada", "their release"))
    released = confirm(ada, ask(ada, str(httpx.URL("/act/release", params={"tenant": HOSTILE[3]})), reason="out"))
    assert "Released" in text_of(released.text)
    assert HOSTILE[3] not in {h.tenant for h in collect(classic).held}


def test_what_cannot_be_done_is_refused_with_the_reason(ada: httpx.Client, classic: Connection) -> None:
    refused = {
        "no reason": ask(ada, "/act/rollback", scope="all", reason="  "),
        "no scope": ask(ada, "/act/rollback", reason="x"),
        "unknown tenant": ask(ada, "/act/hold", tenant="tenant-001", reason="x"),
        "unknown wave": ask(ada, "/act/rollback", scope="wave", wave="9", reason="x"),
        "no wave": ask(ada, "/act/rollback", scope="wave", wave="-1", reason="x"),
        "past": ask(ada, "/act/hold", tenant="tenant-0001", until="2001-01-01", reason="x"),
        "no date": ask(ada, "/act/hold", tenant="tenant-0001", until="soon", reason="x"),
        "no gate": ask(ada, "/act/approve", gate="cut-ovr"),
    }

    assert {r.status_code for r in refused.values()} == {400}
    said = {name: text_of(r.text) for name, r in refused.items()}
    assert "no tenant tenant-001" in said["unknown tenant"], said["unknown tenant"]
    assert "there is no wave 9" in said["unknown wave"]
    assert "did you mean cutover" in said["no gate"]
    assert all("Nothing was changed" in text for text in said.values())
    assert ada.get("/act/nonsense").status_code == 404


def test_a_fallback_is_reset_and_temporal_is_not_needed_for_it(ada: httpx.Client, classic: Connection) -> None:
    raise_fallback(classic, FallbackScope.PART, "1", by="monitor", reason="p99", held=True)

    done = confirm(ada, ask(ada, "/act/reset?scope=part&key=1", reason="fixed"))
    approved = confirm(ada, ask(ada, "/act/approve", gate="cutover"))

    assert "Reads of part 1 go where their routes say" in text_of(done.text) or "Not yet" in text_of(done.text)
    assert "temporal is unavailable" in text_of(approved.text) or "no answer" in text_of(approved.text)


def test_an_incident_is_reported_and_told_without_temporal(ada: httpx.Client, classic: Connection) -> None:
    """What tells others is the decision log: a report that is not in it wakes nobody."""
    confirm(ada, ask(ada, "/act/incident", reason="orders are missing"))

    told = classic.execute("SELECT who, reason FROM migrator.decision WHERE kind = 'incident.reported'").fetchall()
    assert told == [("Ada", "orders are missing")]


# -- who may ask ---------------------------------------------------------------------------------------------


def test_forms_of_other_sites_and_sessions_are_refused(board: Served, ada: httpx.Client, classic: Connection) -> None:
    form = ada.get("/act/rollback").text
    fields = {"csrf": hidden(form, "csrf"), "scope": "all", "reason": "x"}
    elsewhere: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Referer": "https://evil.example/board"},
        {"Origin": str(ada.base_url), "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1"},
    ]
    refused = [ada.post("/act/rollback", data=fields, headers=h).status_code for h in elsewhere]
    wrong = [
        ada.post("/act/rollback", data={**fields, "csrf": c}, headers=own(ada)).status_code for c in ("", "x", "ü")
    ]
    signing_in = ada.post("/sign-in", data={"name": "E", "token": TOKEN}, headers=elsewhere[0]).status_code

    assert refused == [403] * 5 and wrong == [403] * 3 and signing_in == 403
    assert collect(classic).switch == "limitless"


def test_wrong_tokens_are_counted_and_their_sender_waits(classic_dsn: str) -> None:
    """What a proxy says of the sender counts only when the proxy is trusted."""
    with serving(classic_dsn, MIGRATOR_BOARD_TOKEN=TOKEN) as served, served.client() as client:
        wrong = []
        for n, token in enumerate(("", "x" * 10_000, "ü", TOKEN[:-1], f"{TOKEN} ")):
            client.headers["X-Forwarded-For"] = f"203.0.113.{n}"
            wrong.append(sign_in(client, token=token).status_code)
        locked = sign_in(client)

    assert wrong == [403] * 5
    assert locked.status_code == 429 and 0 < int(locked.headers["retry-after"]) <= 60


def test_the_webhook_is_served_beside_the_board(classic: Connection, classic_dsn: str) -> None:
    """With its own secret, which is not the board's; a sender needs no session."""
    cutover(classic)
    secret = "a-secret-of-the-pager"
    with serving(classic_dsn, MIGRATOR_BOARD_TOKEN=TOKEN, MIGRATOR_INCIDENT_TOKEN=secret) as served:
        with served.client() as client:
            body = {"all": True, "reason": "p99", "who": "pager"}
            answers = [
                client.post("/rollback", json=body, headers={"Authorization": f"Bearer {said}"}).status_code
                for said in (TOKEN, secret)
            ]
            shows(client, "rolled back by pager")

    assert answers == [401, 200]


def test_answers_are_guarded_and_cookies_too(board: Served) -> None:
    with board.client() as client:
        answers = [client.get(path) for path in ("/", "/api/status", "/static/board.js", "/nothing", "/health")]
        cookie = sign_in(client).headers["set-cookie"]
        strange = client.get("/", headers={"Host": "evil.example"})
        guesses = [
            client.post("/sign-in", data={"token": "x"}, headers={"Host": host, "Origin": f"http://{host}"})
            for host in ("evil.example", "[") * 4
        ]
        known = sign_in(client)
        too_large = client.post("/sign-in", data={"token": "x" * 100_000}, headers=own(client))

    for answer in answers:
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers
    assert not re.search(r"\son\w+=|style=|<script>", answers[0].text)
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert {r.status_code for r in guesses} == {421} and known.status_code == 303, "a page elsewhere locks nobody out"
    assert strange.status_code == 421 and too_large.status_code == 413


def test_reading_needs_a_token_where_one_is_set(classic: Connection, classic_dsn: str) -> None:
    cutover(classic)
    with serving(classic_dsn, MIGRATOR_BOARD_TOKEN=TOKEN, MIGRATOR_BOARD_READ_TOKEN=READ_TOKEN) as served:
        with served.client() as client:
            closed = [
                client.get(p).status_code for p in ("/", "/tenants", "/log", "/api/status", "/events", "/metrics")
            ]
            opened = client.get("/api/status", headers={"Authorization": f"Bearer {READ_TOKEN}"})
            wrong = client.get("/api/status", headers={"Authorization": "Bearer x"})
            health = client.get("/health")
            sign_in(client, "Eve", READ_TOKEN)
            board = client.get("/")
            acting = client.get("/act/rollback")

    assert closed == [303, 303, 303, 401, 401, 401]
    assert (opened.status_code, wrong.status_code, health.status_code) == (200, 401, 200)
    assert board.status_code == 200 and "Eve" in board.text
    assert acting.status_code == 303, "who may read may not act"


# -- how it is started ---------------------------------------------------------------------------------------


def test_behind_a_proxy_links_carry_its_prefix(classic: Connection, classic_dsn: str) -> None:
    """The proxy takes the prefix away, as most do, or leaves it; it says who asks, and that it speaks TLS."""
    cutover(classic)
    forwarded = {"Host": "ops.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    with serving(
        classic_dsn, "--root-path", "/migrator/", "--trust-proxy", "127.0.0.1", MIGRATOR_BOARD_TOKEN=TOKEN
    ) as served:
        with httpx.Client(
            base_url=served.url.removesuffix("/migrator"), headers=forwarded, timeout=TIMEOUT_S
        ) as client:
            pages = [client.get(path) for path in ("/", "/migrator/", "/migrator/tenants")]
            script = client.get("/migrator/static/board.js")
            signed = client.post(
                "/migrator/sign-in", data={"name": "Ada", "token": TOKEN}, headers={"Origin": "https://ops.example.com"}
            )

    assert [p.status_code for p in pages] == [200, 200, 200] and script.status_code == 200
    for page in pages:
        links = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
        assert links and all(link.startswith(("/migrator/", "#")) for link in links), links
    assert signed.headers["location"] == "/migrator/"
    assert "Path=/migrator" in signed.headers["set-cookie"] and "Secure" in signed.headers["set-cookie"]


def test_what_cannot_be_served_is_one_error(operator: Operator, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = {
            "port": operator("serve", "--port", port),
            "host": operator("serve", "--host", "192.0.2.1", "--port", "0"),
            "short": operator("serve", MIGRATOR_BOARD_TOKEN="short"),
            "same": operator("serve", MIGRATOR_BOARD_TOKEN=TOKEN, MIGRATOR_BOARD_READ_TOKEN=TOKEN),
            "reference": operator("serve", "--token", TOKEN),
            "path": operator("serve", "--root-path", "migrator"),
            "origin": operator("serve", "--origin", "ops.example.com"),
            "key": operator("serve", "--tls-cert", str(tmp_path / "no.pem")),
            "pem": operator("serve", "--tls-cert", str(tmp_path / "no.pem"), "--tls-key", str(tmp_path / "no.pem")),
            "classic": Operator(tmp_path, {})("serve"),
        }

    assert {name: done.code for name, done in ended.items()} == dict.fromkeys(ended, 2)
    for done in ended.values():
        assert done.err.count("migrator: ") == 1 and "Traceback" not in done.err
        assert TOKEN not in done.err
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in ended["port"].err


@pytest.fixture
def operator(tmp_path: Path, classic_dsn: str) -> Operator:
    return Operator(tmp_path, {"MIGRATOR_CLASSIC_DSN": classic_dsn})


def test_it_serves_tls(classic_dsn: str, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with serving(
        classic_dsn, "--tls-cert", str(certificate), "--tls-key", str(key), MIGRATOR_BOARD_TOKEN=TOKEN
    ) as served:
        assert served.url.startswith("https://")
        with served.client(verify=ssl.create_default_context(cafile=str(certificate))) as client:
            assert client.get("/").status_code == 200
            assert "Secure" in sign_in(client).headers["set-cookie"]


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine's own address, and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "board")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate, key = folder / "board.pem", folder / "board.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key
