"""Benchmarks as files for other programs: CSV, JSON and Excel."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sightline_backend.version import VERSION
from sightline_engines.benchmark.cells import CellResult
from sightline_engines.spreadsheet import cell as harmless

Form: TypeAlias = Literal["csv", "json", "xlsx"]
Value: TypeAlias = str | float | int | None

MEDIA_TYPES: dict[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_SPREAD = ("mean", "p50", "p90", "p95", "p99", "n")
_FIGURES = (
    "engine_fps", "pipeline_fps", "decode_ms", "preprocess_ms", "infer_ms", "postprocess_ms",
    "load_s", "cpu_share", "memory_bytes", "gpu_share", "gpu_memory_bytes", "power_watts",
    "disturbed", "seconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """What one job measured."""

    job_id: int
    title: str
    model: str
    created_at: str
    cells: Sequence[CellResult]
    host: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] | None = None
    recommendation: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "job_id": self.job_id,
            "title": self.title,
            "model": self.model,
            "created_at": self.created_at,
            "host": dict(self.host),
            "dataset": None if self.dataset is None else dict(self.dataset),
            "cells": [cell.to_dict() for cell in self.cells],
            "recommendation": self.recommendation and dict(self.recommendation),
        }


def export(runs: Sequence[BenchmarkRun], form: Form) -> bytes:
    """Return runs as a file; texts can't run as a spreadsheet's formulas."""
    match form:
        case "csv":
            return _csv(list(_cell_rows(runs)))
        case "json":
            data = {"sightline": VERSION, "runs": [run.to_dict() for run in runs]}
            return json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n"
        case "xlsx":
            return _workbook(runs)


def _cell_rows(runs: Sequence[BenchmarkRun]) -> Iterator[dict[str, Value]]:
    """Yield one row a cell; every row has the same columns."""
    for run in runs:
        for result in run.cells:
            cell, accuracy = result.cell, result.accuracy
            row: dict[str, Value] = {
                "job": run.job_id,
                "model": run.model,
                "artefact": result.artefact_id,
                "engine": cell.engine,
                "precision": cell.precision,
                "batch": cell.batch,
                "input_width": cell.input_size_wh[0],
                "input_height": cell.input_size_wh[1],
                "instances": cell.instances,
                "device": cell.device,
                "state": result.state,
                "map50_95": None if accuracy is None else accuracy.map50_95,
                "map50": None if accuracy is None else accuracy.map50,
                "pictures": None if accuracy is None else accuracy.pictures,
                "dataset": None if accuracy is None else accuracy.dataset,
            }
            for name in ("pipeline_ms", "engine_ms"):
                spread = getattr(result, name)
                for part in _SPREAD:
                    row[f"{name}_{part}"] = getattr(spread, part, None)
            row |= {name: getattr(result, name) for name in _FIGURES}
            row |= {"error": result.error, "notes": " ".join(result.notes)}
            yield row


def _class_rows(runs: Sequence[BenchmarkRun]) -> Iterator[dict[str, Value]]:
    """Yield one row a class of every accuracy; batches share theirs, so it comes once."""
    for run in runs:
        seen = set()
        for result in run.cells:
            cell, accuracy = result.cell, result.accuracy
            key = (result.artefact_id, cell.engine, cell.precision, cell.input_size_wh)
            if accuracy is None or key in seen:
                continue
            seen.add(key)
            for label, figures in accuracy.per_class.items():
                yield {
                    "job": run.job_id,
                    "model": run.model,
                    "engine": cell.engine,
                    "precision": cell.precision,
                    "input_width": cell.input_size_wh[0],
                    "input_height": cell.input_size_wh[1],
                    "class": label,
                    "ap50_95": figures.ap50_95,
                    "ap50": figures.ap50,
                    "boxes": figures.boxes,
                }


def _about_rows(runs: Sequence[BenchmarkRun]) -> Iterator[dict[str, Value]]:
    for run in runs:
        facts = {
            "model": run.model,
            "title": run.title,
            "started": run.created_at,
            **{f"host {name}": value for name, value in run.host.items()},
            **{f"data set {name}": value for name, value in (run.dataset or {}).items()},
            "recommended": " ".join((run.recommendation or {}).get("reasons", [])),
            "sightline": VERSION,
        }
        for name, value in facts.items():
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            plain = text if isinstance(text, int | float) else str(text or "")
            yield {"job": run.job_id, "what": name, "value": plain}


def _csv(rows: Sequence[Mapping[str, Value]]) -> bytes:
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {n: harmless(v) if isinstance(v, str) else v for n, v in row.items()} for row in rows
        )
    return text.getvalue().encode()


def _workbook(runs: Sequence[BenchmarkRun]) -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        bold = book.add_format({"bold": True})
        for title, rows in (
            ("Cells", list(_cell_rows(runs))),
            ("Classes", list(_class_rows(runs))),
            ("About", list(_about_rows(runs))),
        ):
            sheet = book.add_worksheet(title)
            sheet.freeze_panes(1, 0)
            for column, name in enumerate(rows[0] if rows else {}):
                sheet.write_string(0, column, name, bold)
            for number, row in enumerate(rows, 1):
                for column, value in enumerate(row.values()):
                    if isinstance(value, str):
                        sheet.write_string(number, column, harmless(value))
                    elif value is not None:
                        sheet.write_number(number, column, value)
            sheet.autofit()
    return buffer.getvalue()
