"""What an administrator runs so that a role can do the tool's work: the statements of every need that it lacks."""

from __future__ import annotations

from migrator.privileges.held import Held
from migrator.privileges.needs import missing, quoted

PASSWORD = "Give it a password or IAM yourself: \\password, or GRANT rds_iam."


def statements(held: Held) -> list[str]:
    """Return what gives the role on its side everything that it lacks, in order, without semicolons."""
    role = held.role
    made = [] if role.exists else [f"CREATE ROLE {quoted(role.role)} LOGIN"]
    return [*made, *(statement for lack in missing(held) for statement in lack.gap.statements)]


def script(held: Held, all_of_them: list[str]) -> str:
    """Return *all_of_them* as a script for psql, which says what each part is for."""
    lines = [f"-- Rights of the tool's role {_line(held.role.role)} on {held.side}. Run by an administrator."]
    known = {statement: lack.need for lack in missing(held) for statement in lack.gap.statements}
    said = ""
    for statement in all_of_them:
        need = known.get(statement)
        heading = f"-- {need.right.replace('`', '')}: {need.why}" if need else f"-- {PASSWORD}"
        if heading != said:
            lines.append(heading)
        said = heading
        lines.append(f"{statement};")
    return "\n".join(lines)


def _line(name: str) -> str:
    """Return a name as a comment may hold it."""
    return " ".join(quoted(name).split())
