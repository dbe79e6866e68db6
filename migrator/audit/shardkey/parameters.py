"""How do an application's placeholders become PostgreSQL's $n? (%s, %(name)s, :name, @name, ?)

Only outside of literals, quoted names and comments; texts that already use $n pass unchanged. Lengths change, so
positions of errors are mapped back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKENS = re.compile(
    r"""
    (?=['eE"\-/$%:@s?])  # what one of them begins with
    (?:
      (?P<skip> '(?:[^']|'')*' | [eE]'(?:\\.|''|[^'\\])*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
              | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) )
    | (?P<percent> %\((?P<pname>[A-Za-z_]\w*)\)[sbtd]? | %s )
    | (?P<double> %% )
    | (?P<colon> (?<![:\w\]]):(?:'(?P<q1>\w+)'|"(?P<q2>\w+)"|(?P<cname>[A-Za-z_]\w*)) )
    | (?P<at> (?<![\w@<>])@(?P<aname>[A-Za-z_]\w*) )
    | (?P<sqlc> \bsqlc\.(?:n?arg|slice)\(\s*['"]?(?P<sname>\w+)['"]?\s*\) )
    | (?P<embed> \bsqlc\.embed\(\s*(?P<ename>\w+|"(?:[^"]|"")*")\s*\) )
    | (?P<question> \?(?![|&]) )
    | (?P<dollar> \$\d+ )
    )
    """,
    re.VERBOSE | re.DOTALL,
)

_SQUASHED_IN = re.compile(r"(?i)\b(not\s+)?in\s*\(\s*(\$\d+)\s*/\*, \.\.\. \*/\s*\)")
_SQUASHED_ARRAY = re.compile(r"(?i)\barray\s*\[\s*(\$\d+)\s*/\*, \.\.\. \*/\s*\]")

_SUSPECT = re.compile(r"[%:@](?:(?<=%)[s(]|(?<=:)(?<!::)[A-Za-z_'\"]|(?<=@)[A-Za-z_])")


@dataclass(slots=True)
class Placed:
    """A text with $n placeholders. `style` is how they were written; `shifts` map positions back."""

    sql: str
    style: str = "$"
    count: int = 0
    names: dict[str, int] = field(default_factory=dict)
    shifts: list[tuple[int, int]] = field(default_factory=list)

    def original(self, position: int) -> int:
        """Return where *position* of `sql` was in the text given."""
        moved = 0
        for at, delta in self.shifts:
            if at >= position:
                break
            moved += delta
        return position - moved


def place(sql: str, *, question: bool = False) -> Placed:
    """Return *sql* with $n for every placeholder. *question*: also `?`, which is an operator of jsonb as well."""
    if "/*, ... */" in sql:
        # pg_stat_statements of PostgreSQL 18 shows a list of any length by its first element: that is an array.
        sql = _SQUASHED_IN.sub(lambda m: f"<> ALL ({m[2]})" if m[1] else f"= ANY ({m[2]})", sql)
        sql = _SQUASHED_ARRAY.sub(r"(\1)", sql)
    if not question and not _SUSPECT.search(sql) and "sqlc." not in sql:
        return Placed(sql)
    out: list[str] = []
    placed = Placed("")
    last = moved = 0
    numbers = [int(n) for n in re.findall(r"\$(\d+)", sql)]
    following = max(numbers, default=0)
    has_percent = False
    for match in _TOKENS.finditer(sql):
        if match.lastgroup in ("skip", "dollar"):
            continue
        name = match["pname"] or match["cname"] or match["q1"] or match["q2"] or match["aname"] or match["sname"]
        if match["percent"]:
            has_percent = True
            style = "%(name)s" if name else "%s"
        elif match["double"] and has_percent:
            _replace(out, sql, last, match, "%", placed, moved)
            moved += 1 - len(match[0])
            last = match.end()
            continue
        elif match["colon"]:
            style = ":name"
        elif match["at"]:
            style = "@name"
        elif match["sqlc"]:
            style = "sqlc"
        elif match["embed"]:  # the columns of a table as one value: no parameter
            text = f"{match['ename']}.*"
            _replace(out, sql, last, match, text, placed, moved)
            moved += len(text) - len(match[0])
            last = match.end()
            continue
        elif match["question"] and question:
            style = "?"
        else:
            continue
        if name:
            if name not in placed.names:
                following += 1
                placed.names[name] = following
            number = placed.names[name]
        else:
            following += 1
            number = following
        placed.style = style
        text = f"${number}"
        _replace(out, sql, last, match, text, placed, moved)
        moved += len(text) - len(match[0])
        last = match.end()
    out.append(sql[last:])
    placed.sql = "".join(out)
    placed.count = following
    return placed


def _replace(out: list[str], sql: str, last: int, match: re.Match[str], text: str, placed: Placed, moved: int) -> None:
    out.append(sql[last : match.start()])
    out.append(text)
    placed.shifts.append((match.start() + moved, len(text) - len(match[0])))
