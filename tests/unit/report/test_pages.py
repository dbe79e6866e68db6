"""The pages show what others wrote: names, statements, errors. Whatever that is, it is text and does nothing."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from migrator.audit.rules.rulebook import RULES
from migrator.report import audit, rehearsal, words
from migrator.report.answers import Prices
from migrator.report.effort import OTHER, Area, areas
from migrator.report.svg import element
from migrator.report.vendor import DEDUCED, UNLINKED
from migrator.report.vendor import PAGES as VENDOR
from migrator.report.words import visible
from tests.unit.report.bodies import AUDIT, REHEARSAL

CHOSEN = {"severity"}
"""Strings that the page itself decides by; the audit writes no others."""

NAMED_BY_OTHERS = {"evidence", "weeks"}
"""Objects of the JSON whose keys are shown."""

PAGES: list[tuple[Callable[[Any], str], dict[str, Any]]] = [(audit.page, AUDIT), (rehearsal.page, REHEARSAL)]

ATTACKS = st.sampled_from(
    (
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        '" style="position:fixed',
        "</title></style></script></pre></textarea><script>alert(1)</script>",
        "<!--",
        "]]><![CDATA[",
        "{{7*7}}",
        "{% include 'style.css' %}",
        "{# gone #}",
        "&lt;b&gt; &amp; &#60;",
        "javascript:alert(1)",
        "\\u003cscript\\u003e",
    )
)
HOSTILE = st.tuples(ATTACKS, st.text(max_size=20), ATTACKS).map("".join)


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", ()))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def everywhere(body: Any, text: str, key: str = "") -> Any:
    """Return *body* with *text* for every string that somebody else may have written."""
    match body:
        case str():
            return body if key in CHOSEN else text
        case list():
            return [everywhere(value, text, key) for value in body]
        case dict() if key in NAMED_BY_OTHERS:
            known = ("problems", "summary", "advice")
            return {k if k in known else f"{k}{text}": everywhere(v, text, k) for k, v in body.items()}
        case dict():
            return {k: everywhere(v, text, k) for k, v in body.items()}
    return body


@pytest.mark.parametrize(("page", "body"), PAGES, ids=("audit", "rehearsal"))
@settings(max_examples=25, deadline=None)
@given(text=HOSTILE)
@example(text="<script>alert(1)</script>")
@example(text="{{7*7}}")
@example(text="a\u202eb\x07c")
def test_whatever_others_wrote_is_shown_as_text(page: Callable[[Any], str], body: dict[str, Any], text: str) -> None:
    """In every place at once: the page has the elements and attributes that harmless text of that length gives it."""
    hostile = Structure(page(everywhere(body, text)))
    harmless = Structure(page(everywhere(body, "x" * len(text))))

    assert hostile.elements == harmless.elements
    shown = " ".join("".join(hostile.texts).split())
    assert shown.count(" ".join(visible(text).split())) >= 10


@pytest.mark.parametrize(("page", "body"), PAGES, ids=("audit", "rehearsal"))
def test_a_browser_is_told_to_run_and_load_nothing_else(page: Callable[[Any], str], body: dict[str, Any]) -> None:
    """The policy names the style sheet and the script of this very page by their hashes, and nothing that is loaded."""
    html = page(body)
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    parts = {"default-src 'none'"}
    for kind, tag in (("style", "style"), ("script", "script")):
        for content in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            parts.add(f"{kind}-src 'sha256-{digest}'")

    assert set(policy.split("; ")) == parts
    assert len(parts) == (3 if page is audit.page else 2)  # the page of a rehearsal has no script
    assert not re.search(r'\s(on\w+|style)="', html)
    assert not re.search(r'src="|href="(?!#)|url\(|@import', html)


@pytest.mark.parametrize("gone", ["title", "evidence", "fix"])
def test_a_field_that_is_missing_is_no_empty_cell(gone: str) -> None:
    """A report that the page does not understand is an error, not a page with holes."""
    body = deepcopy(AUDIT)
    del body["findings"][0][gone]

    with pytest.raises((UndefinedError, KeyError)):
        audit.page(body)


def test_a_number_that_nobody_knows_is_a_dash() -> None:
    """Rows, bytes and seconds of what was not measured."""
    texts = [t for t in Structure(audit.page(AUDIT)).texts if t.strip()]
    notes = texts[texts.index("app.notes") :]

    assert notes[:6] == ["app.notes", "undecided", "by audit", "–", "–", "0"]


def test_what_a_page_leaves_out_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst finding and the dearest statement stay; the page says of how many."""
    monkeypatch.setattr(audit, "MOST_FINDINGS", 1)
    monkeypatch.setattr(audit, "MOST_STATEMENTS", 1)
    html = audit.page(AUDIT)

    assert "The worst 1 of 2; the JSON report has all." in html
    assert "The most expensive 1 of 2; the JSON report has all." in html
    assert html.count("<tr data-severity=") == html.count("<tr data-verdict=") == 1
    assert '<tr data-severity="blocker"' in html


def test_a_drawing_escapes_children_and_attributes() -> None:
    """Only what the kit made itself is markup."""
    assert element("g", "<b>", element("title", 'a "b" & c'), label="'\"<>") == (
        '<g label="&#39;&#34;&lt;&gt;">&lt;b&gt;<title>a &#34;b&#34; &amp; c</title></g>'
    )


def test_an_audit_without_tenants_runway_and_statements_has_a_page() -> None:
    """As one from files alone has none."""
    body: Mapping[str, Any] = {
        **AUDIT,
        "tenants": {},
        "runway": {},
        "sizing": {},
        "changes": None,
        "explain": None,
        "objects": [],
        "statements": [],
        "summary": {**AUDIT["summary"], "statements": {}},
    }
    html = audit.page(body)

    assert "Tenants were not counted" in html
    assert "No statement was seen." in html


def test_the_first_screen_answers_in_one_sentence() -> None:
    """Can we, what does it take, by when, what does it cost; without figures it says what to give."""
    body = deepcopy(AUDIT)
    body["runway"]["closes"] = False
    asked = audit.page(body, Prices(acu_hour_usd=0.5, classic_monthly_usd=9000))
    sentence = re.search(r'<p class="sentence">(.*?)</p>', asked)

    assert sentence and sentence[1] == (
        "Yes, after 1 mechanical change; it takes up to 1 person-day of changes;"
        " 24 weeks until classic is retired, 19 June 2026 at the earliest,"
        " but the classic writer is full after 20.1 weeks; $5,840 to $46,720 a month at most."
    )
    assert "but the classic writer is full after 20.1 weeks" in asked and "classic today: $9,000" in asked
    body["findings"][0]["acknowledged"] = None
    body["sizing"] = body["runway"] = {}
    bare = audit.page(body)
    assert "Not as it is: 1 blocker first;" in bare
    assert "give --writer-cpu-pct and --writer-vcpus" in bare and "give --weeks" in bare
    body["findings"][0]["rule"] = "AUD-EVD-05"
    assert "Not known yet: the audit lacks evidence;" in audit.page(body)


def test_effort_is_a_range_of_whole_days_and_falls_with_repetition() -> None:
    """Ten findings of one rule cost less than ten of ten rules; what is acknowledged costs nothing."""

    def work(findings: list[tuple[str, str, str | None]]) -> list[Area]:
        return areas([{"rule": r, "severity": s, "acknowledged": a} for r, s, a in findings])

    [same] = work([("LIM-KEY-01", "rewrite", None)] * 10)
    [each] = work([(f"LIM-KEY-{n:02d}", "rewrite", None) for n in range(10)])
    assert (same.name, same.complexity) == ("Keys and sharding", "low")
    assert same.high < each.high and same.days == "up to 1" and each.days == "0 to 4"
    assert work([("LIM-KEY-01", "blocker", "Ada: known")]) == []
    assert [(a.name, a.complexity) for a in work([("X-1", "info", None), *[("LIM-FN-01", "blocker", None)] * 5])] == [
        ("Functions, triggers, views", "high"),
        ("Other", "low"),
    ]


def test_every_rule_has_an_area_and_a_source_that_the_page_knows() -> None:
    """A rule of a new family would fall into "Other", and a new source would have no link."""
    for rule in RULES.values():
        assert areas([{"rule": rule.id, "severity": "warning", "acknowledged": None}])[0].name != OTHER, rule.id
        for source in rule.source.split("; "):
            assert source.removeprefix(DEDUCED) in VENDOR or source in UNLINKED, (rule.id, source)


def test_findings_link_to_the_vendor_and_to_nobody_else() -> None:
    """A known source is a link to its page; a name that somebody made up is text."""
    body = deepcopy(AUDIT)
    body["findings"][0]["reference"] = "inferred from ddl-limitations; release notes"
    body["findings"][1]["reference"] = "https://evil.example/"
    links = re.findall(r'href="(?!#)([^"]*)"', audit.page(body))

    assert links == [VENDOR["ddl-limitations"], VENDOR["release notes"]]
    assert all(url.startswith(("https://docs.aws.amazon.com/", "https://aws.amazon.com/", "https://www.postgresql.org/"))
               for url in VENDOR.values())  # fmt: skip


def test_without_its_script_the_page_is_plain_lists() -> None:
    """What would do nothing without the script is hidden until the script shows it; every row is there."""
    html = audit.page(AUDIT)

    assert html.count('<p class="filters" hidden>') == html.count('class="filters"') == 3
    assert "<button" not in re.sub(r"<script>.*</script>", "", html, flags=re.DOTALL)
    assert html.index("What the cluster says") < html.index("Work, by area") < html.index("Every finding")


def test_templates_are_files_of_the_package() -> None:
    """Where they are looked for is where a wheel puts them: beside the modules."""
    folder = resources.files("migrator.report") / "templates"

    assert {f.name for f in folder.iterdir()} >= {
        "page.html",
        "audit.html",
        "rehearsal.html",
        "migration.html",
        "style.css",
        "audit.js",
    }


def test_commands_without_a_page_do_not_load_templates() -> None:
    """Nor rich: the command at 3 a.m. starts fast."""
    probe = (
        "import sys; from migrator.cli.app import run_command;"
        "run_command(['--help']); run_command(['rollback', '--help']);"
        "print([n for n in ('jinja2', 'markupsafe', 'rich', 'temporalio') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


def test_numbers_of_an_axis_are_short_and_no_powers_of_ten() -> None:
    assert [words.short(n) for n in (0, 0.25, 0.53, 1, 2.5, 12, 1200)] == [
        "0",
        "0.25",
        "0.53",
        "1",
        "2.5",
        "12",
        "1.2k",
    ]
    assert [words.two_digits(ratio * 100) for ratio in (0, 0.0012, 0.125, 1)] == ["0", "0.12", "12", "100"]
