"""The command that serves the board, health and the webhook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import HostOption, PlanOption, TlsCertOption, TlsKeyOption
from migrator.cli.render import note

if TYPE_CHECKING:
    from migrator.plan.schema import Plan


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator serve --port 8099")(serve)


def serve(
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any.")] = 8099,
    root_path: Annotated[str, typer.Option("--root-path", help="Prefix under which a proxy serves it.")] = "",
    trust_proxy: Annotated[
        str,
        typer.Option("--trust-proxy", help="Addresses of proxies whose X-Forwarded headers count, with commas."),
    ] = "",
    origins: Annotated[
        list[str] | None,
        typer.Option("--origin", help="What browsers show, where a proxy changes Host: https://HOST. Repeatable."),
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="Reference to the token that lets people act: env:NAME, file:PATH, …")
    ] = None,
    read_token: Annotated[
        str | None, typer.Option("--read-token", help="Reference to a token without which nothing may be read.")
    ] = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    every_s: Annotated[
        float, typer.Option("--every", min=0.5, help="Seconds between two looks at classic while somebody watches.")
    ] = 2.0,
    most_viewers: Annotated[int, typer.Option("--most-viewers", min=1, help="Live views at once.")] = 100,
    plan: PlanOption = None,
) -> None:
    """Serve the board for the team, until SIGTERM or Ctrl-C. It reads classic alone.

    It is read-only without a token: MIGRATOR_BOARD_TOKEN, --token or the plan's board.token. Who signs in with it may
    approve, hold, release and roll back, each after seeing what it would do; docs/board.md. It also serves /metrics and
    the webhook of migrator incident serve, and sends the plan's notifications.
    """
    from migrator import settings
    from migrator.cli.context import find_classic
    from migrator.cli.webhook import Renewed, alarm_sources, certificate, log
    from migrator.metrics.exposition import routes as metrics
    from migrator.metrics.source import Classic, Source
    from migrator.notify.run import run as keep_notified
    from migrator.serve.app import make
    from migrator.serve.config import Config, is_loopback, origin
    from migrator.serve.config import root_path as path_of
    from migrator.serve.run import Listen, renewed, run
    from migrator.traffic.incident.desk import Desk
    from migrator.traffic.incident.routes import routes as alarms

    tls = certificate(tls_cert, tls_key)
    dsn = Renewed(lambda: find_classic(plan))  # what cannot work at all is said before anything listens
    known = _plan_or_none(plan)
    acting, reading = _tokens(known, token, read_token)
    config = Config(
        dsn=dsn,
        token=acting,
        read_token=reading,
        personal=bool(known and known.governance.approver),
        root_path=path_of(root_path),
        origins=tuple(origin(one) for one in origins or ()),
        loopback=is_loopback(host),
        proxied=bool(root_path or trust_proxy),
        every_s=every_s,
        most_viewers=most_viewers,
    )
    if not config.loopback and reading is None:
        note(f"Everybody who reaches {host} may read the board. With --read-token reading needs a token.")
    if not config.loopback and tls is None and not trust_proxy:
        note("It serves without TLS: tokens and cookies can be read on the way. See --tls-cert, or use a proxy.")
    source = Source(Classic(config.dsn), known.name if known else "")
    app, feed = make(
        config,
        _Workflows(plan),
        readable=metrics(source),
        more=alarms(Desk(dsn, settings.incident_token(), sources=alarm_sources(plan, dsn), log=log()), health=False),
        beside=[
            lambda stop: keep_notified(stop, config.dsn, lambda: known),
            *([lambda stop: renewed(tls, stop)] if tls is not None else []),
        ],
    )

    def ready(address: str) -> None:
        note(
            f"The board is at {address}/ ({'people may sign in to act' if config.acts else 'read-only'}); Ctrl-C ends."
        )

    run(app, Listen(host, port, config.root_path, trust_proxy, tls), feed.close, ready)


def _tokens(plan: Plan | None, token: str | None, read_token: str | None) -> tuple[str | None, str | None]:
    """Return both tokens: of the options, else of the environment, else of the plan."""
    from migrator import settings

    found = (
        settings.secret(token) if token else settings.board_token(),
        settings.secret(read_token) if read_token else settings.board_read_token(),
    )
    named = (plan.board.token, plan.board.read_token) if plan else (None, None)
    acting, reading = (
        given or (settings.secret(name) if name else None) for given, name in zip(found, named, strict=True)
    )
    return acting, reading


def _plan_or_none(plan: Path | None) -> Plan | None:
    """Return the plan; None where none is stored yet, or classic does not answer: the board says so itself.

    Raises:
        UsageError, PlanInvalid: a plan file was named, and cannot be used.
    """
    from migrator import settings
    from migrator.cli.context import find_plan
    from migrator.errors import MigratorError

    try:
        return find_plan(plan, any_version=True)
    except MigratorError:
        if plan is not None or settings.plan_path() is not None:
            raise
        return None


class _Workflows:
    """Sends orders to the workflows of the plan, which is looked up for each: it may be stored after the start."""

    def __init__(self, plan: Path | None) -> None:
        self._option = plan

    def _plan(self) -> Plan:
        from migrator.cli.context import find_plan

        return find_plan(self._option, any_version=True)

    def approve(self, gate: str, who: str) -> str:
        from workflows import client

        return client.approve(self._plan(), gate, who).text

    def pause(self, who: str, reason: str) -> str:
        from workflows import client

        return client.pause(self._plan(), who, reason).text

    def resume(self, who: str, reason: str) -> str:
        from workflows import client

        return client.resume(self._plan(), who, reason).text

    def cut_over(self, who: str, reason: str) -> str:
        from workflows import client

        return client.cut_over(self._plan(), who, reason).text

    def report_incident(self, who: str, reason: str) -> str:
        from workflows import client

        return client.report_incident(self._plan(), reason, who).text

    def look(self) -> bool:
        from workflows import client

        return client.signal_rollback(self._plan())
