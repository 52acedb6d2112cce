"""An exporter from one set of words, as the command line has them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline_engines.exporter.exporter import ServingExporter
from sightline_engines.exporter.options import BenchmarkConfig, ExportConfig
from sightline_engines.exporter.samples import Calibration
from sightline_engines.triton.config import TritonConfig

if TYPE_CHECKING:
    import torch


def create_exporter(
    model: torch.nn.Module | Path | None,
    model_name: str,
    *,
    repository: Path | None = None,
    output: Path = Path("export"),
    calibration: Calibration | None = None,
    **words: Any,
) -> ServingExporter:
    """Return an exporter from the words of all three configurations, as the CLI takes them.

    `words` are fields of ExportConfig, TritonConfig and BenchmarkConfig. Raises ValueError for a
    word that none of them has, or a value that doesn't fit.
    """
    kinds = (ExportConfig, TritonConfig, BenchmarkConfig)
    known = {kind: {field.name for field in fields(kind)} for kind in kinds}
    unknown = sorted(set(words) - set().union(*known.values()))
    if unknown:
        raise ValueError(f"there is no option {', '.join(unknown)}")
    export, triton, benchmark = (
        {name: value for name, value in words.items() if name in known[kind]} for kind in kinds
    )
    return ServingExporter(
        model,
        ExportConfig(model_name, **export),
        TritonConfig(**triton),
        BenchmarkConfig(**benchmark),
        repository=repository,
        output=output,
        calibration=calibration,
    )
