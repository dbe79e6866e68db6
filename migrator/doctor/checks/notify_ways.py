"""Can receivers be reached from this machine, and senders of alarms be checked? Nothing is sent, no secret shown."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from migrator import settings
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section
from migrator.doctor.finding import Finding, not_applicable, ok, problem, warning
from migrator.errors import MigratorError
from migrator.plan.notify import Receiver
from migrator.plan.schema import Plan

ORDER = 96

WAIT_S = 3.0
"""For all receivers together, which are asked at the same time."""

TOKEN = 16


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a receiver, or to a secret. trouble: where it ends; '' nowhere. where: host and port, if any."""

    name: str
    kind: str
    where: str = ""
    trouble: str = ""
    hint: str = ""
    encrypted: bool = True


@dataclass(frozen=True, slots=True)
class Ways:
    receivers: tuple[Way, ...]
    alarms: tuple[Way, ...]


def address(receiver: Receiver) -> tuple[str, int, bool]:
    """Return host, port, and whether a session begins with TLS. Raises what resolving its secrets raises."""
    match receiver.kind:
        case "email":
            if receiver.login and receiver.password:
                settings.secret(receiver.login)
                settings.secret(receiver.password)
            port = receiver.port or (465 if receiver.tls == "tls" else 587)
            return receiver.host or "", port, receiver.tls == "tls"
        case "slack":
            url = settings.secret(receiver.url or "")
        case "pagerduty":
            settings.secret(receiver.key or "")
            url = receiver.endpoint or "https://events.pagerduty.com"
        case _:
            region = receiver.region or (receiver.topic or ":::").split(":")[3]
            url = receiver.endpoint or f"https://sns.{region}.amazonaws.com"
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if tls else 80), tls


def _way(name: str, receiver: Receiver) -> Way:
    try:
        host, port, tls = address(receiver)
    except MigratorError as error:
        return Way(name, receiver.kind, trouble=str(error), hint=error.hint)
    except ValueError:
        return Way(name, receiver.kind, trouble="its address cannot be read (not shown)")
    at, encrypted = f"{host}:{port}", tls or (receiver.kind == "email" and receiver.tls != "none")
    try:
        with socket.create_connection((host, port), timeout=WAIT_S) as plain:
            if tls:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host):
                    pass
    except ssl.SSLCertVerificationError as error:
        return Way(name, receiver.kind, at, f"its certificate is not accepted: {error.verify_message}")
    except OSError as error:
        return Way(name, receiver.kind, at, (error.strerror or type(error).__name__).lower())
    return Way(name, receiver.kind, at, encrypted=encrypted)


def _all(asked: Sequence[tuple[Way, Callable[[], Way]]]) -> tuple[Way, ...]:
    """Return every way, asked at the same time; the first of a pair stands for one that was not found in time."""
    found = {late.name: late for late, _ in asked}

    def look(name: str, way: Callable[[], Way]) -> None:
        found[name] = way()

    threads = [threading.Thread(target=look, args=(late.name, way), daemon=True) for late, way in asked]
    for thread in threads:
        thread.start()
    until = time.monotonic() + WAIT_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return tuple(found[late.name] for late, _ in asked)


def _secret(name: str, reference: str) -> Way:
    try:
        found = settings.secret(reference)
    except MigratorError as error:
        return Way(name, "alarms", trouble=str(error), hint=error.hint)
    short = f"its secret has {len(found)} characters (at least {TOKEN})" if len(found) < TOKEN else ""
    return Way(name, "alarms", trouble=short, hint="openssl rand -hex 32" if short else "")


def _ways(_link: object, plan: Plan | None) -> Ways:
    if plan is None:
        return Ways((), ())

    def receiver(name: str, found: Receiver) -> tuple[Way, Callable[[], Way]]:
        return Way(name, found.kind, "?", f"no answer in {WAIT_S:g} s"), lambda: _way(name, found)

    def alarm(name: str, reference: str) -> tuple[Way, Callable[[], Way]]:
        return Way(name, "alarms", trouble=f"no answer in {WAIT_S:g} s"), lambda: _secret(name, reference)

    sources = {
        name: getattr(plan.alarms, name).secret for name in ("cloudwatch", "alertmanager", "datadog", "pagerduty")
    }
    return Ways(
        _all([receiver(name, found) for name, found in plan.notify.receiver.items()]),
        _all([alarm(name, reference) for name, reference in sources.items() if reference]),
    )


WAYS: Section[Ways] = Section("ways to receivers", frozenset({Kind.HERE}), _ways)


def judge_ways(facts: Facts) -> Iterable[Finding]:
    found = facts.known(WAYS, Kind.HERE)
    if found is None or facts.plan is None:
        return
    for way in found.receivers:
        if way.where:  # without its secret there is no way; notify.receivers says so
            yield receiver(way)


def receiver(way: Way) -> Finding:
    """Return what the way to a receiver means. Pure."""
    subject, at = f"receiver {way.name}", f" at {way.where}" if way.where else ""
    if way.trouble:
        return problem(
            subject,
            f"{way.kind}{at} cannot be reached: {way.trouble}",
            "what needs a person would not be told there",
            way.hint or "Correct notify.receiver in the plan, or let this machine out: proxy, firewall, certificates.",
        )
    if not way.encrypted:
        return warning(subject, f"{way.kind}{at}, not encrypted", "messages name tenants", "Use https, or tls.")
    return ok(subject, f"{way.kind}{at} accepts connections; nothing was sent")


def judge_alarms(facts: Facts) -> Iterable[Finding]:
    found = facts.known(WAYS, Kind.HERE)
    for way in found.alarms if found else ():
        if way.trouble:
            yield problem(
                f"alarms of {way.name}",
                way.trouble,
                "the webhook refuses this sender's alarms",
                way.hint or f"Correct alarms.{way.name}.secret in the plan.",
            )
        else:
            yield ok(f"alarms of {way.name}", "the secret by which they are checked can be had")
    if found is not None and facts.plan is not None and not found.alarms:
        yield not_applicable("alarms", "no sender of the plan has a secret")


CHECKS = (Check("notify.ways", (WAYS,), judge_ways), Check("notify.alarms", (WAYS,), judge_alarms))
