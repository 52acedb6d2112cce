"""What `sightline models list` and `show` write, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from sightline_backend.model_answers import model_detail
from sightline_backend.models.catalogue import CATALOGUE
from sightline_backend.store.models import ModelStore
from sightline_backend.store.records import Artefact, Measurement, Model
from sightline_backend.store.store import Store
from sightline_engines.types import ModelSpec

_WIDE = 120  # columns


def listing(store: ModelStore, width: int) -> Table:
    """Return what is here, what is broken, and what can be fetched.

    `width` is the terminal's, in columns: a narrow one shows neither head nor input.
    """
    wide = width >= _WIDE
    table = Table(box=None)
    table.add_column("Name", no_wrap=True, max_width=max(16, width // 2))
    for title in ("Versions", *(("Head", "Input") if wide else ()), "Classes", "Licence"):
        table.add_column(title, no_wrap=True)
    table.add_column("")
    blank = ("", "", "") if wide else ("",)
    here = store.list()
    stored = store.summaries()
    for spec in here:
        about, versions = stored.get(spec.name, ("", 1))
        shape = (spec.family, _size(spec)) if wide else ()
        row = (str(versions), *shape, str(len(spec.labels)), spec.licence)
        said = _cut(about or ", ".join(spec.labels))
        table.add_row(_whole(spec.name), *map(Text, row), said)
    broken = store.broken()
    told = {spec.name for spec in here} | {one.name for one in broken}
    for name, (_, versions) in stored.items():
        if name not in told:
            said = Text("nothing that can run yet: convert its checkpoint", "yellow")
            table.add_row(_whole(name), str(versions), *blank, "", said)
    for one in broken:
        table.add_row(_whole(one.name), "", *blank, "", Text(one.problem, "red"))
    for entry in CATALOGUE:
        if entry.name not in {spec.name for spec in here}:
            said = _cut(f"{entry.size_bytes / 1e6:.1f} MB to pull: {entry.about}")
            table.add_row(_whole(entry.name), "", *blank, entry.licence, said, style="dim")
    return table


def listing_json(store: ModelStore) -> str:
    """Return the same for programs."""
    stored = store.summaries()
    models = [
        _facts(spec) | {"description": about, "versions": versions}
        for spec in store.list()
        for about, versions in [stored.get(spec.name, ("", 1))]
    ]
    broken = [asdict(one) for one in store.broken()]
    catalogue = [asdict(entry) for entry in CATALOGUE]
    return json.dumps({"models": models, "broken": broken, "catalogue": catalogue}, indent=2)


def showing(store: Store, name: str) -> Iterator[Table]:
    """Return what serves, then every version with its files and their measurements."""
    model = _model(store, name)
    if model is None or model.active is not None:
        spec = store.models.find(name)
        yield _pairs({"description": model.description if model else "", **asdict(spec)})
    if model is None:
        return
    measured = store.measurements.of_model(model.name)
    for version in model.versions:
        facts = {"licence": version.licence, "source": version.source}
        yield _pairs({"version": version.number, **facts, "created": _when(version.created_at)})
        table = Table("Artefact", "Format", "Precision", "Size", "From", "", box=None)
        for artefact in version.artefacts:
            figures = [one for one in measured if one.artefact_id == artefact.id]
            for row in _artefact_rows(artefact, figures, model):
                table.add_row(*map(Text, row))
        yield table


def showing_json(store: Store, name: str) -> str:
    """Return the same for programs, as /api/models/NAME says it."""
    model = _model(store, name)
    if model is None:
        return json.dumps(_facts(store.models.find(name)), indent=2)
    measured = store.measurements.of_model(model.name)
    detail = model_detail(model, measured, loaded=False)
    return json.dumps(detail.model_dump(mode="json", exclude={"loaded"}), indent=2)


def _model(store: Store, name: str) -> Model | None:
    """Return a stored model; None for what is only a file, or not there at all."""
    if name not in store.models.summaries():
        return None
    return store.models.model(name)


def _artefact_rows(
    artefact: Artefact, measured: Sequence[Measurement], model: Model
) -> Iterator[Sequence[str]]:
    made_from = f"artefact {artefact.made_from_id}" if artefact.made_from_id else artefact.origin
    active = model.active
    serves = active is not None and active.id == artefact.id
    engine = f" on {model.active_engine}" if serves and model.active_engine else ""
    size = f"{artefact.size_bytes / 1e6:.1f} MB"
    said = f"serves{engine}" if serves else ""
    yield str(artefact.id), artefact.format, artefact.precision, size, made_from, said
    for one in measured:
        yield "", "", "", "", one.engine, _figures(one.figures)


def _figures(figures: Mapping[str, Any]) -> str:
    """Return the few figures that tell most, of whatever was measured."""
    said = []
    cell = figures.get("cell")
    if isinstance(cell, dict):
        said.append(f"batch {cell.get('batch')}")
    spread = figures.get("engine_ms")
    if isinstance(spread, dict):
        times = f"p50 {spread.get('p50', 0):.1f} ms, p99 {spread.get('p99', 0):.1f} ms"
        said.append(f"engine alone {times}")
    accuracy = figures.get("accuracy")
    if isinstance(accuracy, dict):
        said.append(f"mAP50-95 {accuracy.get('map50_95', 0):.3f}")
    return ", ".join(said) or "measured"


def _facts(spec: ModelSpec) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(asdict(spec), default=str))
    return facts | {"format": spec.format}


def _pairs(facts: Mapping[str, object]) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # paths and hashes are copied: never cut
    for field, value in facts.items():
        table.add_row(Text(field, "bold"), Text(_readable(field, value)))
    return table


def _readable(field: str, value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(map(str, value)) or "none"
        case None:
            return "none" if field == "passport" else "any"
        case Path():
            return str(value)
        case _:
            return str(value)


def _when(moment: object) -> str:
    return str(moment)[:16]


def _size(spec: ModelSpec) -> str:
    return "x".join(map(str, spec.input_size_wh))


def _whole(name: str) -> Text:
    """Return a name that is folded rather than cut: it is typed after other commands."""
    return Text(name, no_wrap=False, overflow="fold")


def _cut(text: str) -> Text:
    """Return one line that takes the room that is left."""
    return Text(" ".join(text.split()), no_wrap=True, overflow="ellipsis")
