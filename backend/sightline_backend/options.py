"""What a caller asked for, turned into the options of one detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from sightline_backend.errors import UnknownClassError
from sightline_engines import wire
from sightline_engines.pipeline import DetectOptions
from sightline_engines.types import ModelSpec


def detect_options(spec: ModelSpec, asked: wire.Settings) -> DetectOptions:
    """Return the options in force; raises UnknownClassError.

    What wasn't asked for takes the model's own default. `asked.classes` holds names or ids;
    an empty list means all.
    """
    defaults = spec.postprocess
    return DetectOptions(
        conf=defaults.conf if asked.conf is None else asked.conf,
        iou=defaults.iou if asked.iou is None else asked.iou,
        classes=class_ids(asked.classes or (), spec.labels),
        max_detections=asked.max_detections or defaults.max_detections,
    )


def class_ids(asked: Sequence[str], labels: Sequence[str]) -> frozenset[int] | None:
    """Return the ids of classes given by name or id, None for all."""
    ids = {_class_id(one.strip(), labels) for one in asked if one.strip()}
    return frozenset(ids) or None


def in_force(spec: ModelSpec, options: DetectOptions) -> wire.Settings:
    """Return a stream's settings as they are told to its client."""
    return wire.Settings(
        conf=options.conf,
        iou=options.iou,
        classes=tuple(spec.labels[i] for i in sorted(options.classes or ())),
        max_detections=options.max_detections,
        model=spec.name,
    )


def merged(old: wire.Settings, new: wire.Settings) -> wire.Settings:
    """Return `old` with every field that `new` sets."""
    changes = {f.name: getattr(new, f.name) for f in fields(new)}
    return replace(old, **{name: value for name, value in changes.items() if value is not None})


def known_to(spec: ModelSpec, asked: wire.Settings) -> wire.Settings:
    """Return `asked` without the classes that another model had and this one lacks."""
    if asked.classes is None:
        return asked
    return replace(asked, classes=tuple(c for c in asked.classes if c in spec.labels))


def _class_id(name: str, labels: Sequence[str]) -> int:
    if name in labels:  # before ids: some models' labels are digits
        return labels.index(name)
    if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(labels):
        return int(name)
    raise UnknownClassError(
        f"The model has no class {name[:50]!r}. It knows {_listed(labels)}; "
        f"ids run from 0 to {len(labels) - 1}."
    )


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:20])
    return shown if len(labels) <= 20 else f"{shown} and {len(labels) - 20} more"
