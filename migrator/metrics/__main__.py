"""Makes docs/metrics.md, the rules and the dashboard anew: python -m migrator.metrics, in the root of the sources."""

from __future__ import annotations

from pathlib import Path

from migrator.metrics.files import DOCS, documented, made


def main() -> None:
    page = Path(DOCS)
    page.write_text(documented(page.read_text()))
    for name, text in made().items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
