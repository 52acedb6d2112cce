"""What a model at Triton is to us, by its name and its config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sightline_engines.triton.deployment import STEPS, TENSORS, part_of
from sightline_engines.triton.read_config import parameters_of

Kind: TypeAlias = Literal["pictures", "tensors", "detector", "classifier", "step", "other"]


@dataclass(frozen=True, slots=True)
class Known:
    """A model's kind, and the deployment that it belongs to."""

    kind: Kind
    model: str = ""
    number: int | None = None  # None: no deployment's
    platform: str = ""


def known_by_name(name: str, active: dict[str, int]) -> Known:
    """Return what a name says; `active` are the numbers that the stable names lead to."""
    part = part_of(name)
    if part is not None:
        model, number, kind = part
        if kind == "detector":
            return Known("detector", model, number)
        if kind == "classifier":
            return Known("classifier", model, number)
        return Known("step" if kind in STEPS else "other", model, number)
    if name in active:
        return Known("pictures", name, active[name])
    model = name.removesuffix(TENSORS)
    if name != model and model in active:
        return Known("tensors", model, active[model])
    return Known("other")


def known_by_config(config: Any, by_name: Known) -> Known:
    """Return what a loaded model's own config says of it: that holds without the repository."""
    platform = str(config.platform or config.backend)
    told = parameters_of(config)
    model, number, part = (told.get(f"sightline_{name}", "") for name in _TOLD)
    if not part:
        return Known(by_name.kind, by_name.model, by_name.number, platform)
    kind = _KINDS.get(part)
    if kind is None or not model or not number.isdecimal():
        return Known("other", platform=platform)  # an export of ours is no deployment
    return Known(kind, model, int(number), platform)


_KINDS: dict[str, Kind] = {
    "pictures": "pictures",
    "tensors": "tensors",
    "preprocess": "step",
    "detector": "detector",
    "classifier": "classifier",
    "postprocess": "step",
}
_TOLD = ("model", "number", "part")
