"""Find a model at a Triton server, by the hash of its file or else by its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from sightline_engines.triton.client import Client
from sightline_engines.triton.errors import ModelGoneError
from sightline_engines.triton.facts import ModelMetadata
from sightline_engines.triton.tensors import Message
from sightline_engines.types import ModelSpec

_DETECTOR = re.compile(r".+__(\d+)__detector")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model at the server that runs a file, or claims to."""

    name: str
    metadata: ModelMetadata
    max_batch: int  # 0: the config leaves batches to the model
    sha256: str  # of the file; empty: it was put there by hand
    pictures: str | None  # the ensemble that takes pictures for it


def find_model(client: Client, spec: ModelSpec, left_s: Callable[[], float]) -> FoundModel:
    """Return the model that runs a spec's file; raises ModelGoneError where there is none.

    `left_s` returns the seconds that are left for all of it, and raises once there are none.

    First what the name `…_tensors` leads to, then any detector that was made from the file, at
    last one that somebody has put there under this name.
    """
    sha256 = spec.sha256 or _hash(spec)

    def config(name: str) -> Message | None:
        try:
            return client.config(name, timeout_s=left_s())
        except ModelGoneError:
            return None

    stable = config(f"{spec.name}_tensors")
    steps = [step.model_name for step in stable.ensemble_scheduling.step] if stable else []
    others = (
        entry.name
        for entry in sorted(client.index(left_s()), key=lambda one: _number(one.name), reverse=True)
        if entry.state == "READY" and _DETECTOR.fullmatch(entry.name)
    )
    name = _of_file(config, (*steps, *others), sha256)
    name = name or _by_hand(config, (spec.name, f"{spec.name}_tensors"))
    found = config(name) if name else None
    if name is None or found is None:
        elsewhere = _sha256(stable) if stable else ""
        other = f"; what is deployed there under {spec.name} is another file" if elsewhere else ""
        raise ModelGoneError(
            f"Triton at {client.url} doesn't have {spec.path.name}{other}. Deploy it there: "
            f"sightline triton deploy {spec.name}"
        )
    ours = _sha256(found)
    return FoundModel(
        name,
        client.metadata(name, timeout_s=left_s()),
        found.max_batch_size,
        ours,
        _parameter(found, "sightline_model") or None if ours else None,
    )


def _of_file(
    config: Callable[[str], Message | None], names: tuple[str, ...], sha256: str
) -> str | None:
    for name in dict.fromkeys(names):
        found = config(name)
        if found is not None and _sha256(found) == sha256:
            return name
    return None


def _by_hand(config: Callable[[str], Message | None], names: tuple[str, ...]) -> str | None:
    for name in names:
        found = config(name)
        if found is not None and not _sha256(found):
            return name
    return None


def _sha256(config: Message) -> str:
    return _parameter(config, "sightline_sha256")


def _parameter(config: Message, name: str) -> str:
    return str(config.parameters[name].string_value) if name in config.parameters else ""


def _number(name: str) -> int:
    found = _DETECTOR.fullmatch(name)
    return int(found[1]) if found else 0


def _hash(spec: ModelSpec) -> str:
    try:
        with spec.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # the model may be at the server alone
        return ""
