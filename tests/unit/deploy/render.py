"""Lints and renders the chart with Helm's own library, in a process of its own: it brings Go's runtime with it.

python -m tests.unit.deploy.render < VALUES.json
"""

from __future__ import annotations

import json
import sys

from tests import ROOT

CHART = ROOT / "deploy" / "helm" / "migrator"


def main() -> None:
    import helm_python as helm

    values = json.load(sys.stdin)
    answer: dict[str, object] = {"error": ""}
    try:
        with helm.Chart.load(str(CHART)) as chart:
            chart.validate_schema(values)
            answer["manifests"] = chart.render(values, name="prod", namespace="migrations")
    except helm.HelmError as error:
        answer["error"] = str(error)
    answer["lint"] = helm.lint(str(CHART))
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
