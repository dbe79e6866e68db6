"""The questions that a probe asks a Limitless cluster where no document answers, and how answers are judged. Pure.

Each question is a few statements in a scratch schema, of the forms that the tool itself uses. A new one needs a name in
`model.capability`, an entry here, and code that acts on the answer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migrator.model.capability import Answer, Capability
from migrator.model.sqlstate import Fault, fault_of
from migrator.model.wrapped import learn

Value = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Try:
    """One statement; {s} is the scratch schema as an identifier, {n} as a literal.

    Attributes:
        data: what a COPY FROM STDIN is given.
        expect: the rows that it has to return; None: any.
        cause: SQLSTATE of the error that a shard gives to it.
        kind: the kind of table it is about.
    """

    statement: str
    data: bytes | None = None
    expect: tuple[tuple[Value, ...], ...] | None = None
    cause: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cluster's answer to a try: rows, or an error as it came over the wire."""

    rows: tuple[tuple[Value, ...], ...] = ()
    sqlstate: str = ""
    message: str = ""
    detail: str = ""


Judge = Callable[["Probe", Sequence[Outcome]], Answer]


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to the cluster.

    Attributes:
        needed: the tool cannot do without it.
        instead: what the tool does without it; where it is needed, why.
        apart: its statements stand outside a transaction and are not rolled back; one that times out counts as
            refused, since it waits for all other transactions.
    """

    capability: Capability
    question: str
    tries: tuple[Try, ...]
    instead: str
    needed: bool = False
    apart: bool = False
    judge: Judge = lambda probe, outcomes: judge_all(probe, outcomes)


def is_answer(outcome: Outcome, given: Try, *, apart: bool = False) -> bool:
    """Return whether *outcome* is about the cluster's capabilities, and not about its health or its locks."""
    if not outcome.sqlstate or outcome.sqlstate == given.cause:
        return True
    if outcome.sqlstate.startswith("XX") or (apart and outcome.sqlstate in ("57014", "55P03")):
        return True
    fault = fault_of(outcome.sqlstate)
    return fault not in (Fault.UNREACHABLE, Fault.OVERLOADED) and outcome.sqlstate not in ("55P03", "40001", "40P01")


def reason_of_failure(given: Try, outcome: Outcome) -> str:
    """Return why *given* failed; '' when it worked."""
    about = f"{given.kind} tables: " if given.kind else ""
    if outcome.sqlstate:
        said = outcome.message + (f": {outcome.detail.splitlines()[0]}" if outcome.detail else "")
        return f"{about}{said} ({outcome.sqlstate})"
    if given.expect is not None and outcome.rows != given.expect:
        return f"{about}the answer was {_words(outcome.rows)} instead of {_words(given.expect)}"
    return ""


def judge_all(probe: Probe, outcomes: Sequence[Outcome]) -> Answer:
    """It works when every statement does; returns the kinds of tables for which they do."""
    pairs = list(zip(probe.tries, outcomes, strict=True))
    wrong = [why for given, outcome in pairs if (why := reason_of_failure(given, outcome))]
    bad = {given.kind for given, outcome in pairs if reason_of_failure(given, outcome)}
    kinds = frozenset({given.kind for given, _ in pairs} - bad - {""})
    return _answer(probe, not wrong, wrong[0] if wrong else "", kinds)


def judge_sqlstates(probe: Probe, outcomes: Sequence[Outcome]) -> Answer:
    """It works when every error has the SQLSTATE of its cause; otherwise rules are learned, if the texts allow it."""
    pairs = [(given, outcome) for given, outcome in zip(probe.tries, outcomes, strict=True) if given.cause]
    provoked = [(g.cause, o.sqlstate, o.message, o.detail) for g, o in pairs if o.sqlstate]
    silent = [g.cause for g, o in pairs if not o.sqlstate]
    other = sorted({f"{g.cause} arrives as {o.sqlstate}" for g, o in pairs if o.sqlstate and o.sqlstate != g.cause})
    rules = learn(provoked)
    known = {(r.seen, r.true) for r in rules}
    lost = sorted({true for true, seen, _, _ in provoked if seen != true and (seen, true) not in known} | set(silent))
    said = "; ".join([*other, *(f"{cause} was not reported" for cause in silent)])
    if lost:
        said += f"; {', '.join(lost)} cannot be told apart"
    return Answer(probe.capability, not said, said, rules=rules, needed=bool(lost), instead=probe.instead)


def _answer(probe: Probe, works: bool, said: str, kinds: frozenset[str]) -> Answer:
    return Answer(probe.capability, works, said, kinds, needed=probe.needed, instead=probe.instead)


def _words(rows: Sequence[Sequence[Value]]) -> str:
    return ", ".join(" ".join(map(str, row)) for row in rows) or "nothing"


@dataclass(frozen=True, slots=True)
class Setup:
    """A statement that makes the scratch schema, and the mode that tables are created in."""

    statement: str
    mode: str = "standard"
    collocate_with: str = ""


SHARD_KEY = "tenant"
SETUP = (
    Setup("CREATE SCHEMA {s}"),
    Setup(
        "CREATE TABLE {s}.parent (tenant bigint NOT NULL, id bigint NOT NULL, label varchar(3),"
        " amount numeric(4, 2) NOT NULL DEFAULT 0, CONSTRAINT small CHECK (amount < 50), PRIMARY KEY (tenant, id),"
        " CONSTRAINT one_label UNIQUE (tenant, label))",
        "sharded",
    ),
    Setup(
        "CREATE TABLE {s}.child (tenant bigint NOT NULL, id bigint NOT NULL, parent bigint, PRIMARY KEY (tenant, id))",
        "sharded",
        "parent",
    ),
    Setup("CREATE TABLE {s}.lookup (id bigint NOT NULL, label text, PRIMARY KEY (id))", "reference"),
    Setup("CREATE TABLE {s}.plain (id bigint NOT NULL, label text, PRIMARY KEY (id))"),
    Setup("CREATE INDEX child_parent ON {s}.child (parent)"),
    Setup("CREATE INDEX lookup_label ON {s}.lookup (label)"),
    Setup("CREATE INDEX plain_label ON {s}.plain (label)"),
    Setup("CREATE SEQUENCE {s}.numbers"),
)

_KINDS = (("sharded", "child"), ("reference", "lookup"), ("standard", "plain"))
_ROW = "INSERT INTO {s}.parent (tenant, id, label) VALUES (1, 1, 'a')"


def _with(text: str, instead: str) -> str:
    return text.replace("@", instead)


def _binary(*values: bytes) -> bytes:
    """Return one row in the format of COPY … (FORMAT binary)."""
    fields = b"".join(struct.pack("!i", len(v)) + v for v in values)
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + struct.pack("!h", len(values)) + fields + struct.pack("!h", -1)


def _copy(form: str) -> tuple[Try, ...]:
    seven = struct.pack("!q", 7)
    rows = {
        ("text", "child"): b"7\t7\t\\N\n",
        ("text", "lookup"): b"7\tseven\n",
        ("text", "plain"): b"7\tseven\n",
        ("binary", "child"): _binary(seven, seven, seven),
        ("binary", "lookup"): _binary(seven, b"seven"),
        ("binary", "plain"): _binary(seven, b"seven"),
    }
    return tuple(
        step
        for kind, table in _KINDS
        for step in (
            Try(f"COPY {{s}}.{table} FROM STDIN (FORMAT {form})", rows[form, table], kind=kind),
            Try(_with("SELECT id FROM {s}.@", table), expect=((7,),), kind=kind),
        )
    )


_THREE = "unnest(ARRAY[1, 1, 2]::bigint[], ARRAY[1, 2, 1]::bigint[], ARRAY[1, 2, 3]::numeric[]) AS u (a, b, c)"
_SHARDED_ROWS = (
    "INSERT INTO {s}.parent (tenant, id, amount) SELECT u.a, u.b, u.c FROM @"
    " ON CONFLICT (tenant, id) DO UPDATE SET amount = EXCLUDED.amount"
)
_DELETE = "DELETE FROM {s}.parent AS t USING @ WHERE t.tenant = u.a AND t.id = u.b AND u.a = 1"
_OTHER_ROWS = (
    "INSERT INTO {s}.@ (id, label) SELECT u.a, u.b FROM unnest(ARRAY[1, 2]::bigint[], ARRAY['a', 'b']::text[])"
    " AS u (a, b) ON CONFLICT (id) DO UPDATE SET label = EXCLUDED.label"
)


def _upsert() -> tuple[Try, ...]:
    rows = Try(_with(_SHARDED_ROWS, _THREE), kind="sharded")
    tries = [
        *(rows, rows),
        Try("SELECT count(*), sum(amount)::int FROM {s}.parent", expect=((3, 6),), kind="sharded"),
        Try(_with(_DELETE, _THREE), kind="sharded"),
        Try("SELECT tenant, id FROM {s}.parent", expect=((2, 1),), kind="sharded"),
    ]
    for kind, table in _KINDS[1:]:
        rows = Try(_with(_OTHER_ROWS, table), kind=kind)
        tries += [rows, rows, Try(_with("SELECT count(*) FROM {s}.@", table), expect=((2,),), kind=kind)]
    return tuple(tries)


_INDEXES = (
    "SELECT string_agg(x.relname::text, ' ' ORDER BY x.relname::text) FROM pg_catalog.pg_index i"
    " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = {n} AND c.relname = '@' AND i.indisvalid"
)
_INDEX_NAMES = {
    "child": "child_parent child_pkey",
    "lookup": "lookup_label lookup_pkey",
    "plain": "plain_label plain_pkey",
}
_CHILD_KEY = (
    "ALTER TABLE {s}.child ADD CONSTRAINT child_parent_fkey FOREIGN KEY (tenant, parent)"
    " REFERENCES {s}.parent (tenant, id)"
)

PROBES: tuple[Probe, ...] = (
    Probe(
        Capability.TEXT_COPY,
        "Does COPY … FROM STDIN write sharded, reference and standard tables?",
        _copy("text"),
        "without it no row can be copied",
        needed=True,
    ),
    Probe(
        Capability.BINARY_COPY,
        "Does COPY … FROM STDIN (FORMAT binary) write them too?",
        _copy("binary"),
        "rows are copied as text, which costs the servers more",
    ),
    Probe(
        Capability.UPSERT,
        "Do INSERT … SELECT FROM unnest(…) ON CONFLICT (key) DO UPDATE and DELETE … USING unnest(…) work?",
        _upsert(),
        "without it no mirror can follow classic",
        needed=True,
    ),
    Probe(
        Capability.CONFLICT_WITHOUT_TARGET,
        "Does ON CONFLICT DO NOTHING work without a conflict target?",
        (Try(_ROW), Try(f"{_ROW} ON CONFLICT DO NOTHING"), Try("SELECT count(*) FROM {s}.parent", expect=((1,),))),
        "the tool always names the target; applications must do so too",
    ),
    Probe(
        Capability.RETURNING,
        "Do INSERT, UPDATE and DELETE … RETURNING work on sharded tables?",
        (
            Try(f"{_ROW} RETURNING id", expect=((1,),)),
            Try("UPDATE {s}.parent SET amount = 2 WHERE tenant = 1 RETURNING amount::int", expect=((2,),)),
            Try("DELETE FROM {s}.parent WHERE tenant = 1 RETURNING tenant, id", expect=((1, 1),)),
        ),
        "the tool reads in a statement of its own; applications that rely on it cannot move",
    ),
    Probe(
        Capability.ROW_LOCKS,
        "Does SELECT … FOR UPDATE lock rows of sharded and standard tables?",
        (
            Try(_ROW),
            Try("SELECT id FROM {s}.parent WHERE tenant = 1 FOR UPDATE", expect=((1,),), kind="sharded"),
            Try("INSERT INTO {s}.plain (id) VALUES (1)"),
            Try("SELECT id FROM {s}.plain WHERE id = 1 FOR UPDATE", expect=((1,),), kind="standard"),
        ),
        "the tool locks by updating a row with its own value; applications that rely on it cannot move",
    ),
    Probe(
        Capability.SQLSTATE,
        "Do errors of rows come with the SQLSTATE of their cause, or can their text tell it?",
        (
            Try(_ROW),
            Try(_CHILD_KEY),
            Try("INSERT INTO {s}.child (tenant, id, parent) VALUES (1, 1, 1)"),
            Try("INSERT INTO {s}.parent (tenant, id) VALUES (1, 1)", cause="23505"),
            Try("INSERT INTO {s}.parent (tenant, id, label) VALUES (1, 2, 'a')", cause="23505"),
            Try("INSERT INTO {s}.parent (tenant, id, amount) VALUES (1, 2, NULL)", cause="23502"),
            Try("UPDATE {s}.parent SET amount = amount + 99 WHERE tenant = 1", cause="23514"),
            Try("INSERT INTO {s}.child (tenant, id, parent) VALUES (1, 2, 2)", cause="23503"),
            Try("DELETE FROM {s}.parent WHERE tenant = 1", cause="23503"),
            Try("UPDATE {s}.parent SET label = label || 'bcd' WHERE tenant = 1", cause="22001"),
            Try("UPDATE {s}.parent SET amount = amount + 99999 WHERE tenant = 1", cause="22003"),
            Try("UPDATE {s}.parent SET amount = 1 / (tenant - 1) WHERE tenant = 1", cause="22012"),
        ),
        "the mirror must tell a refused row from an unhealthy cluster",
        judge=judge_sqlstates,
    ),
    Probe(
        Capability.INDEX_CATALOG,
        "Does a router's pg_index name the indexes of sharded, reference and standard tables?",
        tuple(Try(_with(_INDEXES, table), expect=((_INDEX_NAMES[table],),), kind=kind) for kind, table in _KINDS),
        "indexes that the tool made are taken from its own records (migrator.provisioned)",
    ),
    Probe(
        Capability.INDEX_CONCURRENTLY,
        "Does CREATE INDEX CONCURRENTLY work, and on which tables?",
        tuple(
            Try(f"CREATE INDEX CONCURRENTLY {table}_late ON {{s}}.{table} (id)", kind=kind) for kind, table in _KINDS
        ),
        "indexes that come after the copy lock out the mirror while they are built",
        apart=True,
    ),
    Probe(
        Capability.SEQUENCE_LIMITS,
        "Does rds_aurora.limitless_distributed_sequence have the declared limits of a sequence?",
        (
            Try(
                "SELECT start = 1, inc = 1, minvalue = 1, maxvalue = 9223372036854775807, cache = 1"
                " FROM rds_aurora.limitless_distributed_sequence"
                " WHERE schema_name = {n} AND sequence_name = 'numbers'",
                expect=((True, True, True, True, True),),
            ),
        ),
        "limits are read from the router's own pg_sequence",
    ),
    Probe(
        Capability.SEQUENCE_RESTART,
        "Does ALTER SEQUENCE … RESTART move a sequence?",
        (
            Try("ALTER SEQUENCE {s}.numbers RESTART WITH 5000000"),
            Try("SELECT nextval(format('%I.numbers', {n}::text)::regclass) >= 5000000", expect=((True,),)),
        ),
        "without it keys handed out after the hand-over would collide with classic's",
        needed=True,
        apart=True,
    ),
    Probe(
        Capability.SEQUENCE_CHUNKS,
        "Does rds_aurora.limitless_sequence_metadata follow a restart on every router?",
        (
            Try("ALTER SEQUENCE {s}.numbers RESTART WITH 9000000"),
            Try(
                "SELECT count(*) > 0, count(*) FILTER (WHERE active_minvalue < 9000000)"
                " FROM rds_aurora.limitless_sequence_metadata WHERE schema_name = {n} AND sequence_name = 'numbers'",
                expect=((True, 0),),
            ),
        ),
        "after a restart only the router at hand is checked, by the number it hands out",
        apart=True,
    ),
    Probe(
        Capability.DEFERRED_KEYS,
        "Can a foreign key between sharded tables be checked at commit?",
        (
            Try(f"{_CHILD_KEY} DEFERRABLE INITIALLY DEFERRED"),
            Try("INSERT INTO {s}.child (tenant, id, parent) VALUES (1, 1, 1)"),
            Try(_ROW),
        ),
        "without it foreign keys would refuse rows that the mirror writes in another order",
        needed=True,
    ),
    Probe(
        Capability.ADVISORY_LOCKS,
        "Are there advisory locks?",
        (Try("SELECT pg_advisory_xact_lock(7)"),),
        "the tool takes none on Limitless; applications that rely on them cannot move",
    ),
)
