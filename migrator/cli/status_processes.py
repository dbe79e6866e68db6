"""Draws what the status says of processes: of applications, of workers, and of the replicas that answer for classic."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from migrator.cli.render import duration
from migrator.model.counted import counted
from migrator.model.status import ProcessLine, Status


def workers(status: Status) -> Text:
    if not status.workers:
        return Text("none known", "dim")
    text = Text(f"{status.workers} live")
    if status.outdated_workers:
        text.append("; not all run this plan and version", "yellow")
    return text


def processes(status: Status) -> Text:
    if not status.processes:
        return Text("none runs the shim", "dim")
    live = [p for p in status.processes if p.live]
    behind = sum(p.behind > 0 for p in live)
    text = Text(f"{len(live)} live, ")
    text.append(f"{behind} not yet at epoch {status.epoch}" if behind else f"all at epoch {status.epoch}")
    silent = len(status.processes) - len(live)
    if silent:
        text.append(f"; {silent} silent (they read classic by themselves)", "yellow")
    return text


def replicas(status: Status) -> Text:
    """Return each replica of classic, then which server answered classic's reads."""
    text = Text()
    for line in status.replicas:
        text.append(
            f"{line.name} {line.level} for {duration(line.since_s)}", "" if line.level == "serving" else "yellow"
        )
        if line.level != "serving":
            text.append(f" ({line.reason})")
            if line.missing:
                text.append(f"; {counted(line.missing, 'process')} could not wait for it", "yellow")
        text.append("\n")
    if not any(line.level == "serving" for line in status.replicas):
        text.append(_none_in_service(status.processes), "yellow")
    total = sum(line.reads for line in status.classic_reads)
    shares = ", ".join(f"{line.endpoint} {line.reads / total:.0%}" for line in status.classic_reads if total)
    text.append(f"reads of classic, last 10 min: {shares or 'none'}")
    return text


def _none_in_service(known: Sequence[ProcessLine]) -> str:
    """Return why the writer answers all, as far as the register of processes tells; '' where no replicas were given."""
    live = [p for p in known if p.live]
    without = [p.name for p in live if p.replicas is None]
    if len(without) == len(live):
        return ""
    if without:
        names = ", ".join(dict.fromkeys(without[:5])) + (", …" if len(without) > 5 else "")
        return (
            f"none in service: {len(without)} of "
            f"{counted(len(live), 'live process was', 'live processes were')} given no replicas ({names})\n"
        )
    if blind := sum(p.replicas == 0 for p in live):
        return (
            f"none in service: {blind} of {counted(len(live), 'live process')} "
            f"reach none of the replicas they were given\n"
        )
    return "none in service: is each a replica of this classic, the same for every process, and close behind?\n"
