"""Can every server be reached: name, port, certificate, login and database apart, and how long each takes?"""

from __future__ import annotations

from collections.abc import Iterable

from migrator.doctor.check import Check
from migrator.doctor.facts import POSTGRES, Facts, Kind, Section, Server, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, unknown, warning
from migrator.doctor.reach import Reached, Stage

ORDER = 20

REACHED: Section[Reached] = Section("how it is reached", POSTGRES, lambda _conn, _plan: Reached(Stage.DONE))
"""Filled in by `migrator.doctor.ask`, which opens the connection."""

SLOW_S = 1.0

MATTERS = {
    Kind.CLASSIC: "every write goes there, and everything that is known of the migration is there",
    Kind.LIMITLESS: "nothing is copied, mirrored or compared without it; reads of moved tenants fall back to classic",
    Kind.READER: "reads of classic and the audit use it",
}

DO = {
    Stage.SECRET: "Correct the reference in the plan, or give this machine what it names.",
    Stage.STRING: "Use postgresql://user:password@host:port/database or key=value pairs.",
    Stage.NAME: "Correct the host in the connection string, or this machine's DNS (getent hosts HOST).",
    Stage.PORT: "Start the server; correct host and port; open security group, firewall and route for this machine.",
    Stage.TLS: "Give sslrootcert the engine's certificates (AWS: global-bundle.pem), and host the certificate's name.",
    Stage.LOGIN: "Correct user or password where the reference leads; look at the server's log and pg_hba.conf.",
    Stage.DATABASE: "Correct the database in the connection string.",
    Stage.ANSWER: "Look at the server: it may be frozen, starting, or out of connections; then at firewalls.",
}

WORDS = {
    Stage.SECRET: "its connection string cannot be had",
    Stage.STRING: "its connection string cannot be used",
    Stage.NAME: "its name cannot be looked up",
    Stage.PORT: "it accepts no connection",
    Stage.TLS: "no encrypted session is made",
    Stage.LOGIN: "it accepts connections and refuses the login",
    Stage.DATABASE: "it lets the role in and has no such database",
    Stage.ANSWER: "it accepts connections and does not answer as it should",
}


def judge(facts: Facts) -> Iterable[Finding]:
    """Return one finding for each server, and one for its encryption."""
    if facts.plan is None and not facts.servers:
        yield unknown("servers", "no server is known, since there is no plan", do="Give --plan PLAN.toml.")
    for server, found in facts.each(REACHED):
        if isinstance(found, Unasked):
            yield problem(server.name, found.why, MATTERS[server.kind], DO[Stage.ANSWER])
            continue
        yield _way(server, found)
        if found.stage is Stage.DONE:
            yield from _doors(server, found)


def _way(server: Server, found: Reached) -> Finding:
    at = f" ({found.where})" if found.where else ""
    if found.stage is not Stage.DONE:
        text = f"{WORDS[found.stage]}{at}: {found.why}"
        do = " ".join(dict.fromkeys(filter(None, (found.hint, DO[found.stage]))))
        return problem(server.name, text, MATTERS[server.kind], do)
    took = ", ".join(f"{name} {s * 1000:.0f} ms" for name, s in found.seconds)
    if sum(s for _, s in found.seconds) > SLOW_S:
        return warning(
            server.name,
            f"answers {found.where} slowly: {took} (limit {SLOW_S:g} s)",
            "commands and workers connect anew often",
            "Look at DNS, network and the load of the server.",
        )
    return ok(server.name, f"answers {found.where}: {took}")


def _doors(server: Server, found: Reached) -> Iterable[Finding]:
    if found.closed:
        yield warning(
            server.name,
            f"{len(found.closed)} of {len(found.closed) + len(found.addresses)} addresses accept no connection:"
            f" {', '.join(found.closed)}",
            "connections go to any of them, so some fail or wait",
            "Look at these nodes (Limitless: routers), or take them out of DNS.",
        )
    if found.pooled and server.kind is not Kind.LIMITLESS:
        yield warning(
            server.name,
            "a pooler or proxy answers in the server's place",
            "the tool's snapshots, fences and settings last for a session; in transaction mode they would be lost",
            "Name the server itself in the plan, or a pooler in session mode (docs/reliability.md, Poolers).",
        )
    yield _encryption(server, found)


def _encryption(server: Server, found: Reached) -> Finding:
    if found.named:
        return ok(server.name, f"encrypted, and the certificate is checked (sslmode={found.sslmode})")
    if found.local:
        return not_applicable(server.name, "on this machine: encryption is not needed")
    if found.verified:
        return warning(
            server.name,
            f"encrypted, and the certificate's name is not checked (sslmode={found.sslmode})",
            "every server with a certificate of that authority would do; RDS' signs for all customers",
            "Say sslmode=verify-full in the connection string.",
        )
    if found.tls:
        return warning(
            server.name,
            f"encrypted, and nothing checks who answers (sslmode={found.sslmode})",
            "another server in its place would be given the password and every row",
            "Add sslmode=verify-full and sslrootcert to the connection string.",
        )
    return warning(
        server.name,
        f"not encrypted (sslmode={found.sslmode})",
        "rows of all tenants pass the network in clear text",
        "Add sslmode=verify-full and sslrootcert to the connection string; on AWS set rds.force_ssl.",
    )


CHECKS = (Check("reach.servers", (), judge),)
