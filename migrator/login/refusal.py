"""Why no connection was made, in words, and what to do: from what libpq and the server say."""

from __future__ import annotations

import re

_REFUSALS: tuple[tuple[str, str, str], ...] = (
    # (what libpq or the server says, what it means; empty: its own words, what to do)
    ("no password supplied", "it requires a password and none was given", "Check the secret that the plan refers to."),
    (
        "authentication failed|role .* does not exist|28P01|28000",
        "it refused the user or password",
        "Check the secret that the plan refers to.",
    ),
    (
        "no pg_hba.conf entry",
        "",
        "Let this host in, with the TLS that is asked for: pg_hba.conf, or the security group.",
    ),
    (
        "database .* does not exist|3D000",
        "the database does not exist",
        "Check the database name in the connection string.",
    ),
    (
        "certificate|root.crt|SSL|TLS|GSSAPI",
        "",
        "Check sslmode and sslrootcert in the connection string, and the server's certificate.",
    ),
    (
        "too many clients|connection slots|too many connections|53300",
        "",
        "All its connections are in use: raise max_connections or the role's limit, or close sessions"
        " (pg_stat_activity).",
    ),
    (
        "starting up|shutting down|recovery|not yet accepting|57P0",
        "",
        "It starts, stops or fails over: try again in a minute.",
    ),
    (
        "could not translate host name|Name or service not known|resolve",
        "",
        "Check the host name in the connection string, and this host's DNS.",
    ),
    (
        "timeout expired|timed out",
        "it did not answer in time",
        "Check that this host may reach it: security group, routes, firewall; or the server hangs.",
    ),
)


def refused_connection(text: str, sqlstate: str | None = None) -> tuple[str, str]:
    """Return why no connection was made, and what to do, from what libpq says. Pure.

    It says it on one line per address that it tried; the last is the one that counts.
    """
    lines = [line.strip() for line in text.strip().splitlines() if "failed: " in line or "error" in line]
    last = (lines or text.strip().splitlines() or ["no reason was given"])[-1]
    # 'connection failed: connection to server at "…", port … failed: Connection refused', then a question
    own = re.sub(r"^(FATAL|ERROR|PANIC): +", "", last.rsplit("failed: ", 1)[-1].strip())
    for pattern, why, hint in _REFUSALS:
        if re.search(pattern, f"{own} {sqlstate or ''}"):
            return why or own, hint
    return own, "Check that the server runs and that this host may reach it."
