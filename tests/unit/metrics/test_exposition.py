"""What Prometheus is given is what the samples say, whatever names there are."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from migrator.errors import UsageError
from migrator.metrics import catalogue as c
from migrator.metrics.address import Address, address
from migrator.metrics.exposition import MetricsServer, page, routes
from migrator.metrics.gather import Reading, gather
from migrator.metrics.metric import Kind
from migrator.metrics.source import Source
from tests.fixtures.waiting import TIMEOUT_S
from tests.unit.metrics.statuses import SECRET, measured, status


class Answers:
    def __call__(self) -> Reading:
        return Reading(status(plan=SECRET), measured())

    def give_up(self) -> None:
        raise AssertionError("it answers")

    def close(self) -> None: ...


@pytest.fixture
def source() -> Source:
    return Source(Answers())


@contextmanager
def served(source: Source) -> Iterator[MetricsServer]:
    with MetricsServer(Address("127.0.0.1", 0), page(source)) as server:
        server.start()
        yield server
        server.shutdown()


def get(url: str) -> tuple[str, str]:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_a_page_says_every_sample_once(source: Source) -> None:
    """Whatever the plan is called: the page can be read."""
    text = page(source)().decode()
    found = {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name.startswith("migrator_")
    }
    said = gather(Answers()())

    for sample in said:
        name = sample.metric.name + ("_count" if sample.metric.kind is Kind.HISTOGRAM else "")
        labels = {
            "plan": SECRET,
            **dict(zip((label.name for label in sample.metric.labels), sample.labels, strict=True)),
        }
        assert found[name, frozenset(labels.items())] == sample.value


def test_types_and_help_are_the_catalogues(source: Source) -> None:
    families = {f.name: f for f in text_string_to_metric_families(page(source)().decode())}

    for metric in (c.LAG, c.READS, c.READ_TIME):
        family = families[metric.base]
        assert (family.type, family.documentation) == (metric.kind.value, metric.help)
    assert "process_resident_memory_bytes" in families, "and the exporting process itself"


async def test_the_route_of_a_web_application_answers_the_same(source: Source) -> None:
    transport = httpx.ASGITransport(Starlette(routes=routes(source)))
    async with httpx.AsyncClient(transport=transport, base_url="http://migrator") as client:
        answer = await client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "migrator_up{plan=" in answer.text


def test_its_own_server_serves_one_page_and_survives_who_hangs_up(source: Source) -> None:
    with served(source) as server:
        kind, text = get(f"{server.url}?debug=1")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server.url.replace("/metrics", "/etc/passwd"))

        assert kind.startswith("text/plain; version=")
        assert 'side="limitless"} 100.0' in text
        assert get(server.url)[1]


def test_a_taken_address_is_said(source: Source) -> None:
    with served(source) as server, pytest.raises(UsageError, match="metrics cannot be served at"):
        MetricsServer(Address("127.0.0.1", server.server_address[1]), page(source))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:9464", Address("127.0.0.1", 9464)),
        ("metrics.internal:0", Address("metrics.internal", 0)),
        ("[::1]:9464", Address("::1", 9464)),
        ("[::]:65535", Address("::", 65535)),
    ],
)
def test_addresses(text: str, found: Address) -> None:
    assert address(text) == found
    assert address(str(found)) == found


@pytest.mark.parametrize("text", ["9464", ":9464", "::1:9464", "host:65536", "host:-1", "http://host:1", "u@h:1", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address to listen at"):
        address(text)
