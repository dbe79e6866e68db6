"""What the tool measures, under names that stay: for Prometheus, for OTLP, for the dashboard and the alerts.

`catalogue` owns names, units, labels and help. `gather` makes samples of what classic says, `source` reads that at
most every few seconds, `exposition` writes them for Prometheus, `otlp` sends them. docs/metrics.md, ops/grafana and
ops/prometheus are made of the catalogue (`python -m migrator.metrics`).
"""
