"""Imports point inwards: cli, workflows, phases, control and db, model. Whoever needs another arrow says why here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from tests import ROOT

HEAVY = (
    "boto3", "httpx", "jinja2", "migrator.control", "migrator.db", "pgparse", "pydantic", "rich", "structlog",
    "temporalio", "typer",
)  # fmt: skip

INNER = {"errors", "model"}
SHELL = INNER | {"catalog", "control", "db", "inventory", "log_events", "plan", "logs", "poll"}

WINGS = {"dataplane", "traffic"}
"""Folders of packages. Their packages go by their own names below: "mirror" is migrator.dataplane.mirror."""

# What a package may import of ours besides itself.
ARROWS: dict[str, set[str]] = {
    "": set(),  # migrator/__init__.py: importing the shim must stay light
    "__main__": {"cli"},
    "carried": set(),
    "errors": set(),
    "model": {"errors"},
    "login": INNER,  # where a connection string comes from, for the tool and for the shim
    "shim": INNER | {"login"},
    "testing": INNER | {"shim"},  # applications test with the shim itself, on other connections
    "django": INNER | {"shim"},  # a guest in Django projects; only what the shim exports, see below
    "sqlalchemy": INNER | {"shim"},  # sessions whose transactions are the shim's blocks
    "poll": set(),
    "retry": {"log_events"},
    "log_events": set(),
    "db": INNER | {"login", "retry"},
    "catalog": INNER | {"db"},
    "plan": INNER | {"catalog", "db"},
    "aws": INNER,  # what is asked of AWS, and what is made there
    "settings": INNER | {"login"},
    "logs": INNER | {"db", "settings"},  # db, for what a server's error may say
    "dataplane": set(),  # the wing's own __init__
    "traffic": set(),
    "inventory": INNER | {"control", "db"},  # the plan's scope, and what was remembered
    "rights": INNER | {"control", "db"},  # the answer that is kept
    "privileges": INNER | {"db", "plan"},  # what the tool's own roles need, for whoever begins something
    # For status.
    "control": INNER | {"capacity", "db", "inventory", "log_events", "plan", "poll", "retry", "rights", "runway"},
    "metrics": SHELL,  # what classic says, under names that stay
    # Which statements are the tool's own is the audit's knowledge; the rest of it is not needed.
    "runway": SHELL | {"audit", "aws", "grammar"},
    "capacity": SHELL | {"runway"},  # one way of asking AWS
    "size": SHELL | {"runway"},  # one way of counting row writes
    # Classic is watched as the runway watches it, capacity is priced as bills are; which statements are the tool's own
    # is the audit's knowledge. A generator's process reads connection strings by itself.
    "load": SHELL | {"audit", "capacity", "grammar", "login", "runway", "settings"},
    "local": INNER | {"grammar", "poll"},
    "report": INNER,
    "grammar": set(),  # what PostgreSQL's parser says about a text
    "scripts": INNER | {"grammar"},  # what files of SQL hold
    # Asks about everything before anything is done: what each part needs is that part's to say.
    "doctor": SHELL | {"audit", "aws", "preflight", "privileges", "rights", "settings"},
    "preflight": SHELL | {"doctor"},  # one way of asking AWS; doctor shows what preflight finds
    # The phases. They do not know each other, with these exceptions:
    "audit": SHELL | {"grammar", "runway", "scripts"},  # one forecast of the writer, the gate's
    # local is one of the places to run: its servers are made there.
    "provision": SHELL | {"aws", "local", "privileges", "rights"},
    "capture": SHELL | {"privileges"},  # who makes its event triggers
    "mirror": SHELL | {"capture"},  # reads the journal that capture writes
    "backfill": SHELL | {"capture"},  # shares its reading of rows, and holds the journal's ring
    # What is new is provisioned, and captured from birth; it comes in files of SQL.
    "change": SHELL | {"provision", "capture", "grammar", "scripts"},
    "consistency": SHELL - {"catalog"},  # an independent witness: see the tests below
    "route": SHELL | {"shim"},  # the words of a route are the shim's
    "breaker": SHELL | {"route"},  # opening and closing are changes of routes
    "incident": SHELL | {"route"},
    # Whose approval counts: asked by gates, waves, commands and the board alike.
    "governance": SHELL | {"settings"},
    "cutover": SHELL | {"governance", "route", "runway"},
    "repair": SHELL | {"capture"},  # marks rows dirty in the journal
    "recovery": SHELL | {"capture"},
    # Everything that is evidence, as pages and rows; what signs it is looked up by reference, as connections are.
    "dossier": SHELL | {"report", "settings"},
    # It makes the last keys on Limitless, gives objects their owners and ends capture; classic may be a server here.
    # The dossier is the last thing before anything is done to classic.
    "decommission": SHELL
    | {"aws", "capacity", "governance", "route", "capture", "dossier", "local", "provision", "rights", "settings"},
    # Where phases meet: what one says to the next, and what compares with what repairs.
    "drill": SHELL | {"route"},  # a rollback there and back is two changes of routes
    # Repeats what logs, as the audit reads them, say that applications ran; compares at the fences of validation, or
    # with copies that the backfill's statements make.
    "shadow": SHELL | {"audit", "backfill", "consistency", "grammar"},
    "decide": INNER,  # an audit's JSON in, an answer out
    "traffic_test": SHELL,  # results of shadow runs and load tests, whoever made them
    "gates": SHELL
    | {
        "governance",
        "preflight",
        "privileges",
        "rights",
        "route",
        "runway",
        "cutover",
        "decommission",
        "settings",
        "traffic_test",
    },
    "undo": SHELL | {"capture", "provision"},
    "notify": SHELL | {"settings"},  # each receiver's secret is looked up for each message, and kept nowhere
    "validation": SHELL | {"capture", "consistency", "cutover", "repair"},
    # The board shows the status as reports do, and gives the orders that commands give.
    "serve": SHELL | {"governance", "incident", "report", "route"},
    # Tries clients of other languages beside the shim, on servers of its own, and does what operators do meanwhile.
    "contract": SHELL | {"incident", "local", "route", "shim"},
    # The rehearsal plays operator, application and adversary at once.
    "rehearse": {"*"},
    "cli": {"*", "workflows"},
}

# What a room of the audit may import of the audit besides itself and the words below; what stands at the audit's top
# (run, files, statements, functions, classify, plan_init, target) brings the rooms together and may import all.
AUDIT_WORDS = {"catalog", "own"}
AUDIT_ROOMS: dict[str, set[str]] = {
    "evidence": set(),
    "shardkey": set(),
    "rules": {"shardkey"},  # some rules are about where a statement runs
    "sizing": {"evidence", "shardkey"},  # counts the tables that have a key
    "report": {"rules"},
}

# Packages of others, and who may import them.
GUESTS: dict[str, set[str]] = {
    "typer": {"cli"},
    "temporalio": {"workflows"},
    "pgparse": {"grammar"},
    "tomlkit": {"plan", "audit"},  # an audit writes a plan
    "stamina": {"retry"},
    "httpx": {"incident", "notify"},
    "psutil": {"local", "rehearse"},
    "starlette": {"incident", "metrics", "serve"},
    "uvicorn": {"incident", "serve", "cli"},
    "jwt": {"serve"},  # tokens of an OIDC proxy
    "anyio": {"incident"},
    # dossiers are signed; signatures of Amazon SNS, and of approvers; what Temporal stores
    "cryptography": {"dossier", "governance", "incident", "workflows"},
    "pydantic": {"dossier", "incident", "notify", "plan", "settings", "cli", "workflows"},
    "structlog": {"logs", "workflows", "cli"},
    "rich": {"cli", "rehearse"},
    "jinja2": {"report", "serve"},
    "prometheus_client": {"metrics"},
    "opentelemetry": {"metrics", "shim", "workflows"},
    "markupsafe": {"report", "serve"},
    "django": {"django"},
    "asgiref": {"django"},
    "sqlalchemy": {"sqlalchemy"},
}


def room(parts: list[str]) -> str:
    """The package or module below migrator that *parts* of a dotted name lead to; in a wing, its package."""
    return parts[1] if parts[0] in WINGS and len(parts) > 1 and parts[1] != "__init__" else parts[0]


@cache
def modules() -> list[tuple[str, Path, ast.Module]]:
    """Every module of ours with the package it belongs to; all of workflows/ is one. Read once."""
    found = []
    for path in sorted([*(ROOT / "migrator").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]):
        top, *rest = path.relative_to(ROOT).with_suffix("").parts
        package = "workflows" if top == "workflows" else room(rest)
        package = "" if package == "__init__" else package
        found.append((package, path.relative_to(ROOT), ast.parse(path.read_text())))
    return found


@cache
def imports(tree: ast.Module) -> list[str]:
    """Every module a module imports, also inside functions; `from a import b` counts as a.b."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return found


def ours(name: str) -> str | None:
    """The package of ours that a dotted name belongs to; None when it is not ours or only the top."""
    top, *rest = name.split(".")
    if top == "workflows":
        return "workflows"
    if top != "migrator" or not rest:
        return None
    known = (ROOT / "migrator" / rest[0]).is_dir() or (ROOT / "migrator" / f"{rest[0]}.py").is_file()
    return room(rest) if known else None  # `from migrator import __version__` names no package


def test_imports_follow_the_arrows() -> None:
    """Every package imports only what the table above allows."""
    wrong = [
        f"{path} imports {name}"
        for package, path, tree in modules()
        if package != "workflows"
        for name in imports(tree)
        if (target := ours(name)) is not None
        and target != package
        and target not in ARROWS[package]
        and not ("*" in ARROWS[package] and target not in ("cli", "workflows"))
    ]
    assert wrong == []


def test_no_module_imports_itself_through_others() -> None:
    """The code can be read from the bottom up; imports for types and inside functions count too."""
    trees = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): tree for _, path, tree in modules()}
    graph = {
        name: {found if found in trees else found.rpartition(".")[0] for found in imports(tree)} & trees.keys()
        for name, tree in trees.items()
    }

    TopologicalSorter(graph).prepare()


def test_rooms_of_the_audit_follow_their_arrows() -> None:
    """A room imports what the table above allows; the words import no room."""
    wrong = [
        f"{path} imports {name}"
        for package, path, tree in modules()
        if package == "audit"
        for name in imports(tree)
        if name.startswith("migrator.audit.")
        if (room := path.with_suffix("").parts[2]) in AUDIT_ROOMS or room in AUDIT_WORDS
        if name.split(".")[2] not in {room, *AUDIT_WORDS, *AUDIT_ROOMS.get(room, ())}
    ]
    assert wrong == []


def test_nothing_imports_the_commands() -> None:
    """cli is the outermost ring; so no cycle can form through workflows."""
    wrong = [
        f"{path} imports {name}"
        for package, path, tree in modules()
        if package not in ("cli", "__main__")
        for name in imports(tree)
        if ours(name) == "cli"
    ]
    assert wrong == []


def test_only_public_modules_of_dependencies_are_imported() -> None:
    """What begins with an underscore may be gone with the next version."""
    wrong = [
        f"{path} imports {name}"
        for _, path, tree in modules()
        for name in imports(tree)
        if ours(name) is None and any(re.match(r"_(?!_)", part) for part in name.split("."))
    ]
    assert wrong == []


def test_heavy_packages_stay_where_they_belong() -> None:
    """One package each knows the command line, Temporal, the parser."""
    wrong = [
        f"{path} imports {name}"
        for package, path, tree in modules()
        for name in imports(tree)
        if package not in GUESTS.get(name.split(".")[0], {package})
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("model", set()),
        ("errors", set()),
        ("login", {"psycopg", "boto3", "botocore"}),
        ("shim", {"psycopg", "opentelemetry"}),
        ("testing", {"psycopg"}),
        ("django", {"psycopg", "django", "asgiref"}),
        ("sqlalchemy", {"psycopg", "sqlalchemy"}),
    ],
)
def test_the_core_needs_next_to_nothing(package: str, allowed: set[str]) -> None:
    """The words need the standard library; the shim, a guest in other processes, needs psycopg besides."""
    wrong = [
        f"{path} imports {name}"
        for found, path, tree in modules()
        if found == package
        for name in imports(tree)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "migrator", *allowed}
    ]
    assert wrong == []


def test_statement_builders_are_pure() -> None:
    """A *_sql module composes statements: of psycopg it knows the composing part only."""
    wrong = [
        f"{path} imports {name}"
        for _, path, tree in modules()
        if path.stem.endswith("_sql")
        for name in imports(tree)
        if name.startswith("psycopg") and not name.startswith("psycopg.sql")
    ]
    assert wrong == []


def test_validation_is_an_independent_witness() -> None:
    """What compares both sides shares no code with what makes them equal, or both could be wrong the same way."""
    makers = {"capture", "mirror", "backfill"}
    wrong = [
        f"{path} imports {name}"
        for package, path, tree in modules()
        for name in imports(tree)
        if (package == "consistency" and ours(name) in makers) or (package in makers and ours(name) == "consistency")
    ]
    assert wrong == []


def test_validation_brings_only_connections_and_names() -> None:
    """Of ours it loads connections, the tool's tables, what nobody captured, and words; not even through somebody else
    more than that."""
    names = ("consistency", "control", "db", "errors", "inventory", "login", "model")
    allowed = tuple(f"migrator.{name}" for name in names)
    probe = (
        "import sys, migrator.consistency.run;"
        "print([name for name in sys.modules if name.startswith(('migrator.', 'workflows'))"
        f" and not name.startswith({allowed!r})])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_validation_reads_user_tables_with_statements_of_its_own() -> None:
    """No module of it composes SQL with a builder that somebody else has."""
    wrong = [
        f"{path} imports {name}"
        for package, path, tree in modules()
        if package == "consistency"
        for name in imports(tree)
        if "_sql" in name and not name.startswith("migrator.consistency.")
    ]
    assert wrong == []


def test_importing_the_shim_stays_light() -> None:
    """An application that imports the shim pays for psycopg and nothing else."""
    probe = f"import sys, migrator.shim; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_local_servers_need_no_heavy_package() -> None:
    """`migrator local up` and the tests' fixtures start fast."""
    probe = f"import sys, migrator.local.stack; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


OWNERS = {"control", "shim", "capture"}
"""Who may name the tool's own tables: their home, the guest that reads no files, and what makes triggers."""

# Everybody else who names one, with the reason. A file that names none any more must leave this one.
NAMERS = {
    "migrator/provision/probe.py": "words for people",
    "migrator/rehearse/facts.sql": "the rehearsal's witness asks past the functions that it judges",
    "migrator/rehearse/proof.py": "the same: does every position cover the last write?",
    "migrator/rights/compare.py": "words for people, and the name under which a difference is acknowledged",
}


def own_tables() -> re.Pattern[str]:
    """Matches a table or view of schema migrator. `migrator.plan.load` is a module."""
    made = "\n".join(path.read_text() for path in sorted((ROOT / "migrator" / "control").glob("*.sql")))
    names = set(re.findall(r"^CREATE (?:UNLOGGED )?(?:TABLE|VIEW) migrator\.(\w+)", made, re.MULTILINE))
    assert len(names) > 40
    return re.compile(rf"\bmigrator\.(?:{'|'.join(sorted(names))})\b(?!\.)")


def strings(tree: ast.Module) -> Iterator[str]:
    """Every string but docstrings; neighbouring ones of a call, as sql.Identifier has them, also with a dot between."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value
        elif isinstance(node, ast.Call):
            given = [a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else "" for a in node.args]
            yield from (f"{one}.{other}" for one, other in pairwise(given))


def namers() -> set[str]:
    """Files outside their home that name the tool's own tables; a string that is the name of a package does not."""
    pattern = own_tables()
    found = {
        str(path)
        for package, path, tree in modules()
        if package not in OWNERS
        for text in strings(tree)
        if pattern.search(text) and text not in ("migrator.plan", "migrator.report")  # packages too
    }
    for path in sorted((ROOT / "migrator").rglob("*.sql")):
        where = path.relative_to(ROOT)
        if room(list(where.parts[1:])) not in OWNERS and pattern.search(re.sub(r"--[^\n]*", "", path.read_text())):
            found.add(str(where))
    return found


def test_only_their_owners_name_the_tools_tables() -> None:
    """Everybody else calls a function of migrator.control. The list of exceptions only shrinks."""
    assert namers() == NAMERS.keys()


SHAPES = re.compile(
    r"\bpg_(?:attrdef|attribute|class|collation|constraint|depend|enum|index|inherits|namespace|opclass|partition_tree"
    r"|range|sequence|type)\b"
)
"""Catalogs, and a function, that say which shape the application's objects have."""

# Packages that ask them past migrator.catalog, each with the reason.
OTHER_READERS = {
    "catalog": "their home",
    "capture": "its triggers ask inside the server; what else it asks is about its own triggers",
    "consistency": "an independent witness",
    "control": "about the tool's own tables and locks",
    "inventory": "validation loads it: what nobody captured is asked past the reader of those who capture",
    "local": "the stand-in plays a server",
    "rehearse": "plays an operator",
    "privileges": "about what the tool's role may use and owns, which has no shape",
    "rights": "about who may do what, which has no shape",
}
# The same for single files elsewhere. One that asks no more must leave this list.
OTHER_FILES = {
    "migrator/audit/evidence/collect.sql": "runs in psql too, where nothing of ours is",
    "migrator/audit/evidence/live.py": "where an extension is",
    "migrator/audit/evidence/script.py": "the text of the script for psql",
    "migrator/audit/explain/kinds.py": "the types of parameters, which belong to no table",
    "migrator/dataplane/backfill/plan.py": "the server's estimate of rows",
    "migrator/dataplane/backfill/taken_values.py": "asynchronous, about what a copy's values met",
    "migrator/dataplane/mirror/chunks.py": "asynchronous, about what refers to a table there, and what is unique in it",
    "migrator/dataplane/mirror/foreign_key_wait.py": "asynchronous, about the one key that an error named",
    "migrator/decommission/write_stop.py": "about its own triggers",
    "migrator/preflight/preflight.sql": "about what AWS DMS leaves on a source",
    "migrator/provision/probe.py": "asks whether catalogs can be asked",
    "migrator/provision/probing.py": "about its own scratch schema",
    "migrator/traffic_test.sql": "a digest of all columns, to see whether there is another now",
}


def readers() -> set[str]:
    """Files that name such a catalog in SQL, outside of the packages above."""
    found = {
        str(path)
        for package, path, tree in modules()
        if package not in OTHER_READERS
        for text in strings(tree)
        if SHAPES.search(re.sub(r"--[^\n]*", "", text))
    }
    for path in sorted((ROOT / "migrator").rglob("*.sql")):
        where = path.relative_to(ROOT)
        if room([*where.parts[1:]]) not in OTHER_READERS and SHAPES.search(re.sub(r"--[^\n]*", "", path.read_text())):
            found.add(str(where))
    return found


def test_one_package_reads_shapes() -> None:
    """Two readers of one fact can disagree: then a plan is checked against another table than is provisioned."""
    assert readers() == OTHER_FILES.keys()
