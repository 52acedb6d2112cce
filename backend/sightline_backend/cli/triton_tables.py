"""What `sightline triton status`, `list` and `stats` write for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from sightline_backend.triton.reading import ModelReading
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.gpu_figures import GpuFigures
from sightline_engines.triton.probe import Probe

_STATES = {"READY": "green", "UNAVAILABLE": "red", "LOADING": "yellow", "UNLOADING": "yellow"}
_STAGES = ("queue", "input", "infer", "output")
_WIDE = 110  # columns
_NAME = 20  # columns of a name at least; it folds


def models_table(models: Sequence[ModelReading], probes: Mapping[str, Probe]) -> Table:
    """Return every model of the repository: its state, and whether it really answers."""
    table = _table("Name", "What", "Version", "State", "")
    for one in models:
        state = one.state.state or "not loaded"
        table.add_row(
            *map(_text, (one.state.name, one.known.kind, one.state.version)),
            Text(state, _STATES.get(state, "dim")),
            _said(one, probes.get(one.state.name)),
        )
    return table


def deployments_table(kept: Sequence[Deployment], serving: Sequence[bool]) -> Table:
    """Return every deployment whose files are kept, and which of them serves."""
    table = _table("Model", "Number", "", "Artefact", "Precision", "Platform", "Made")
    for one, serves in zip(kept, serving, strict=True):
        artefact = "" if one.artefact_id is None else one.artefact_id
        table.add_row(
            *map(_text, (one.model, one.number)),
            Text("serves", "green") if serves else Text("kept", "dim"),
            *map(_text, (artefact, one.precision, one.platform)),
            _text(f"{datetime.fromtimestamp(one.created_at):%d %b %H:%M}"),
        )
    return table


def statistics_table(models: Sequence[ModelReading], width: int) -> Table:
    """Return what was counted of each model; times are a request's means, in ms.

    `width` is the terminal's, in columns: a narrow one doesn't show where the time went.
    """
    stages = _STAGES if width >= _WIDE else ()
    table = _table("Name", "Requests", "Failed", "Pictures", "Runs", "ms", *stages, "p99 ms")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for one in models:
        counted = one.statistics
        if counted is not None:
            counts = counted.requests, counted.failures, counted.inferences, counted.executions
            means = [_ms(counted.mean_ms[stage]) for stage in ("request", *stages)]
            row = (one.state.name, *counts, *means, _ms(one.percentiles.p99_ms))
            table.add_row(*map(_text, row))
    return table


def batch_sizes(models: Iterable[ModelReading]) -> list[str]:
    """Return a sentence a model about the batches that it ran."""
    return [
        f"{one.state.name} ran batches of "
        + ", ".join(f"{size} ({count} times)" for size, count in sorted(batches.items()))
        for one in models
        if one.statistics is not None and (batches := one.statistics.batches)
    ]


def gpus_table(gpus: Sequence[GpuFigures]) -> Table:
    """Return how much each GPU has to do."""
    table = _table("GPU", "Use", "Memory", "Power")
    for one in gpus:
        use = "" if one.use is None else f"{one.use:.0%}"
        power = "" if one.power_watts is None else f"{one.power_watts:.0f} W"
        memory = f"{_gb(one.memory_bytes)} of {_gb(one.memory_total_bytes)} GB"
        table.add_row(*map(_text, (one.uuid, use, memory, power)))
    return table


def _table(*titles: str) -> Table:
    """Return a table whose first column folds, as names are typed after other commands."""
    table = Table(box=None)
    table.add_column(titles[0], overflow="fold", min_width=_NAME)
    for title in titles[1:-1]:
        table.add_column(title, no_wrap=True)
    table.add_column(titles[-1])
    return table


def _said(model: ModelReading, probe: Probe | None) -> Text:
    """Say what is wrong, a failed probe first: Triton calls a dead Python step ready."""
    reason = model.state.reason
    if probe is not None and not probe.ok:
        return Text(f"doesn't answer: {probe.error}", "red", no_wrap=False)
    if reason and reason != "unloaded":
        return Text(reason, "red" if model.state.state == "UNAVAILABLE" else "", no_wrap=False)
    return Text(f"answers in {probe.seconds * 1e3:.0f} ms" if probe is not None else "", "green")


def _text(value: object) -> Text:
    """Return a cell as it is: names may hold brackets."""
    return Text(str(value))


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _gb(value: float | None) -> str:
    return "?" if value is None else f"{value / 1e9:.1f}"
