"""What a benchmark and its child processes tell each other: one JSON object a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline_engines.benchmark.labelled import Box, Dataset, LabelledPicture
from sightline_engines.passport import Passport
from sightline_engines.types import Family, ModelSpec, Postprocess, Preprocess


def spec_to_dict(spec: ModelSpec) -> dict[str, Any]:
    """Return a spec as plain values, its path among them."""
    return {**asdict(spec), "path": str(spec.path)}


def spec_from_dict(data: Mapping[str, Any]) -> ModelSpec:
    """Read what `spec_to_dict` wrote."""
    width, height = data["input_size_wh"]
    passport = data.get("passport")
    return ModelSpec(
        **{
            **data,
            "path": Path(data["path"]),
            "family": Family(data["family"]),
            "input_size_wh": (width, height),
            "labels": tuple(data["labels"]),
            "preprocess": Preprocess(**data["preprocess"]),
            "postprocess": Postprocess(**data["postprocess"]),
            "notes": tuple(data["notes"]),
            "passport": None if passport is None else Passport.from_dict(passport),
        }
    )


def dataset_to_dict(dataset: Dataset) -> dict[str, Any]:
    """Return a data set as plain values."""
    pictures = [{**asdict(p), "path": str(p.path)} for p in dataset.pictures]
    return {**asdict(dataset), "pictures": pictures}


def dataset_from_dict(data: Mapping[str, Any]) -> Dataset:
    """Read what `dataset_to_dict` wrote."""
    pictures = tuple(
        LabelledPicture(Path(row["path"]), tuple(row["size_wh"]), tuple(map(_box, row["boxes"])))
        for row in data["pictures"]
    )
    return Dataset(
        **{
            **data,
            "pictures": pictures,
            **{name: tuple(data[name]) for name in ("classes", "missing", "notes")},
        }
    )


def _box(row: Mapping[str, Any]) -> Box:
    return Box(tuple(row["xyxy"]), row["class_id"], row["area"], row["crowd"])
