"""Configures the logs of long-running entry points, once per process: one event per line, on stderr.

Events are `noun.past_participle` with the glossary's words as keys. Nothing that looks like a connection string
passes, wherever it came from, and no value of a row: errors quote them.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor

_CREDENTIALS = re.compile(
    r"(?P<scheme>\w+://)[^\s/@]*:[^\s/@]*@|(?P<key>\bpassword\s*=\s*)('[^']*'|\S+)", re.IGNORECASE
)


DEBUG = logging.DEBUG

QUIET = {"temporalio.activity": logging.ERROR, "temporalio.worker": logging.WARNING}
"""What libraries log of work that is an event of the tool too (migrator.log_events); with level debug all of it."""


def configure(level: str = "info", form: str | None = None, processors: Sequence[Processor] = ()) -> None:
    """Configure logging of this process; standard library records go to the same output.

    Args:
        form: "json" or "console"; None chooses by whether stderr is a terminal.
        processors: run first, for example to drop events while a workflow is replayed.
    """
    shared: list[Processor] = [
        *processors,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.ExceptionRenderer(trace),
        mask,
    ]
    terminal = sys.stderr.isatty()
    renderer: Processor
    if (form or ("console" if terminal else "json")) == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=terminal)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level_number(level))
    for library, least in QUIET.items():
        logging.getLogger(library).setLevel(max(least, level_number(level)) if level_number(level) > DEBUG else DEBUG)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level_number(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


QUOTING = (ValueError, LookupError)
"""Errors whose text is what they were given, for example a value of a row or a key of a dictionary."""


def trace(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Return the trace of an error and of those that led to it, without the values that their texts may quote."""
    parts = []
    for error in _chain(exc_info[1]):
        parts.append("".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__name__}: {_said(error)}")
    return "\nwhich led to\n".join(reversed(parts))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _said(error: BaseException) -> str:
    if "psycopg" in sys.modules:
        import psycopg

        from migrator.db.error_text import described

        if isinstance(error, psycopg.Error):
            return described(error)
    return "(its text may quote a value)" if isinstance(error, QUOTING) else str(error)


def level_number(level: str) -> int:
    """Return the number of a log level's name; an unknown name is INFO, a typo must not stop a worker."""
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove credentials from every text of an event."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = masked_text(value)
    return event


def masked_text(text: str) -> str:
    """Return *text* without the credentials of connection strings in it."""
    return _CREDENTIALS.sub(lambda m: f"{m['scheme']}…@" if m["scheme"] else f"{m['key']}…", text)
