"""Where the documents are that rules come from: the name that a finding's reference has, and the address."""

from __future__ import annotations

_GUIDE = "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/limitless-"
_NAMES = {
    "architecture": "architecture", "converting-standard": "converting-standard",
    "ddl-limitations": "reference.DDL-limitations", "ddl-support": "reference.DDL-support",
    "dml-limitations": "reference.DML-limitations", "dml-support": "reference.DML-support",
    "instance-monitoring": "instance-monitoring", "load.copy": "load.copy", "load.utility": "load.utility",
    "performance-functions": "performance-functions", "query.deadlocks": "query.deadlocks",
    "query.single-shard": "query.single-shard", "reqs-limits": "reqs-limits", "waits-reference": "waits-reference",
}  # fmt: skip
PAGES = {name: f"{_GUIDE}{page}.html" for name, page in _NAMES.items()} | {
    "release notes": "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraPostgreSQLReleaseNotes/limitless-updates.html",
    "FAQ": "https://aws.amazon.com/rds/aurora/faqs/",
    "PostgreSQL 16 release notes": "https://www.postgresql.org/docs/16/release-16.html",
}
UNLINKED = {
    "audit": "the audit's own",
    "inferred": "our deduction",
    "published paper": "a paper of the vendor's team, SIGMOD Companion 2026",
    "shard-group connection": "observed by drivers",
    "third party": "a published test by others",
    "unverified": "not confirmed anywhere",
}
"""References that are no page of a vendor, and what they are."""

DEDUCED = "inferred from "
"""What stands before a page that does not say it in so many words."""


def links(reference: str) -> list[tuple[str, str | None]]:
    """Return every document that *reference* names, separated by semicolons, with its address where it has one."""
    return [(UNLINKED.get(name, name), PAGES.get(name.removeprefix(DEDUCED))) for name in reference.split("; ")]
