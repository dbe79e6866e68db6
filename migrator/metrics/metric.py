"""What a metric is, and a sample of one: values, checked as they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

OTHER = "other"
"""Stands for a label's value that the catalogue does not know, so that the number of series stays bounded."""


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"  # grows; begins again at 0 when what counts it begins again
    HISTOGRAM = "histogram"


class Origin(StrEnum):
    """Who exports a metric."""

    MIGRATION = "migration"  # worker and server: what classic's control schema says
    PROCESS = "process"  # worker and server: about the exporting process itself
    SHIM = "shim"  # the application's process, through its OpenTelemetry


UNITS = {
    "seconds": "s",
    "bytes": "By",
    "ratio": "1",
    "usd": "{USD}",
    "info": "",
    "timestamp_seconds": "s",
    "cores": "{core}",
    "rows": "{row}",
}
"""Suffixes of names, and what OpenTelemetry (UCUM) calls the unit."""


PUT_BACK = ("seconds", "bytes", "ratio")


@dataclass(frozen=True, slots=True)
class Label:
    """A label. values: all it may have, besides `other`; empty where *bound* says in words what bounds them."""

    name: str
    values: tuple[str, ...] = ()
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. Every one of origin `migration` has the label `plan` besides *labels*.

    Attributes:
        name: as Prometheus has it: base unit last, `_total` behind that for a counter.
        help: one sentence, with what no sample at all means where that can be.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    origin: Origin = Origin.MIGRATION

    @property
    def base(self) -> str:
        """The name without `_total`, as a family is called."""
        return self.name.removesuffix("_total")

    @property
    def unit(self) -> str:
        """The unit in the name; "" for a number of things, which the name names."""
        return next((unit for unit in sorted(UNITS, key=len, reverse=True) if self.base.endswith(f"_{unit}")), "")

    @property
    def otlp_name(self) -> str:
        """The name in OpenTelemetry, which keeps units and kinds beside it: `migrator.mirror_lag`."""
        if self.origin is Origin.SHIM:
            return f"migrator.shim.{self._without_unit.removeprefix('migrator_shim_')}"
        return f"migrator.{self._without_unit.removeprefix('migrator_')}"

    @property
    def _without_unit(self) -> str:
        """What a Prometheus that takes OTLP in puts back: units that are no annotation in braces."""
        written = self.unit.removeprefix("timestamp_")
        return self.base.removesuffix(f"_{written}") if written in PUT_BACK else self.base

    @property
    def otlp_unit(self) -> str:
        return UNITS.get(self.unit, "")

    def sample(self, value: float, **labels: str) -> Sample:
        """Return a sample. A label's value that the catalogue does not list becomes `other`.

        Raises:
            ValueError: labels are missing or too many.
        """
        return Sample(self, self._given(labels), float(value))

    def distribution(self, histogram: Histogram, **labels: str) -> Sample:
        return Sample(self, self._given(labels), float(histogram.count), histogram)

    def _given(self, labels: dict[str, str]) -> tuple[str, ...]:
        if labels.keys() != {label.name for label in self.labels}:
            raise ValueError(f"{self.name} has the labels {[label.name for label in self.labels]}, not {[*labels]}")
        return tuple(
            OTHER if label.values and labels[label.name] not in label.values else labels[label.name]
            for label in self.labels
        )


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts at or below each of *bounds*, cumulative; the last count, of all, has no bound. total: of all values."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        return self.counts[-1]


@dataclass(frozen=True, slots=True)
class Sample:
    """labels: their values, in the order of the metric's."""

    metric: Metric
    labels: tuple[str, ...]
    value: float
    histogram: Histogram | None = None


def added(samples: Sequence[Sample]) -> list[Sample]:
    """Return *samples* with those added up that differ in nothing: several label values may have become `other`."""
    found: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for sample in samples:
        key = (sample.metric.name, sample.labels)
        before = found.get(key)
        if before is None or sample.histogram is not None:
            found[key] = sample
        else:
            found[key] = Sample(sample.metric, sample.labels, before.value + sample.value)
    return list(found.values())
