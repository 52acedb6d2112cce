"""`sightline_model_info`: which models are in memory, and what each runs on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class ModelLabels:
    """What is told of a model in memory; the operator named it, no client did."""

    model: str
    version: str
    engine: str
    precision: str
    device: str


class ModelInfo(Collector):
    """Yields one series for each model in memory, and none for those that have left."""

    def __init__(self) -> None:
        self._models: frozenset[ModelLabels] = frozenset()

    def set(self, models: Iterable[ModelLabels]) -> None:
        """Replace what is told, all at once: a scrape sees the old models or the new."""
        self._models = frozenset(models)

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the name."""
        return [_family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield a series of value 1 for each model."""
        family = _family()
        for model in sorted(self._models, key=astuple):
            family.add_metric(list(astuple(model)), 1)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_model_info",
        "1 for each model in memory.",
        labels=[field.name for field in fields(ModelLabels)],
    )
