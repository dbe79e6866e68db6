"""Writes the result: report.json for programs, report.html for people, a summary for the terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from migrator.rehearse.workdir import Workdir
from migrator.report import words
from migrator.report.rehearsal import TIMING_NAMES, page, shown_timing


def write_report(report: dict[str, Any], place: Workdir) -> None:
    place.report_json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    place.report_html.write_text(page(report), encoding="utf-8")


def print_summary(report: dict[str, Any], place_of: dict[str, str], console: Console) -> None:
    """Print the verdicts, the times, and where the rest is."""
    proof = Table(title="Proof", title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    for line in report["proof"]:
        mark = Text("holds", "green") if line["ok"] else Text("BROKEN", "red")
        proof.add_row(mark, Text(line["claim"]), Text(line["seen"], "dim"))
    timings = Table(
        title="Timings", title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
    )
    timings.add_column(justify="right")
    for key, name, unit in TIMING_NAMES:
        value = report["timings"].get(key)
        if value is None:
            continue
        note = ""
        if key == "rollback_s":
            t = report["timings"]
            note = f" ({t['rollback_confirmed']} of {t['rollback_processes']} processes)"
        timings.add_row(shown_timing(value, unit), name + note)
    console.print(proof)
    console.print()
    console.print(timings)
    console.print()
    for problem in report["problems"]:
        console.print(f"[red]✗[/red] {escape(problem)}", highlight=False)
    for gap in report["left_out"]:
        console.print(f"[yellow]left out[/yellow] {escape(gap)}", highlight=False)
    verdict = (
        "[bold green]✓ Nothing was lost.[/bold green]"
        if report["ok"]
        else "[bold red]✗ The rehearsal failed.[/bold red]"
    )
    console.print(f"{verdict} {sentence(report)}", highlight=False)
    for name, path in place_of.items():
        console.print(f"[dim]{name:8}[/dim] {escape(path)}", highlight=False, soft_wrap=True)


def sentence(report: dict[str, Any]) -> str:
    """Return the result in one line."""
    lost, missed, divergent = (
        "unknown" if report[k] is None else words.count(report[k])
        for k in ("lost_writes", "missed_own_writes", "divergent_rows")
    )
    failures = f"{words.count(sum(kind['count'] for kind in report['failures']))} errors seen by the application"
    kinds = ", ".join(f"{words.count(kind['count'])} {kind['what']}" for kind in report["failures"])
    failures += f" ({kinds})" if kinds else ""
    return (
        f"{words.count(report['acknowledged_writes'])} acknowledged writes, {lost} lost; "
        f"{missed} of {words.count(report['reads'])} reads missed a write of their own; "
        f"{divergent} rows differed; {failures}; {words.seconds(report['seconds'])}."
    )
