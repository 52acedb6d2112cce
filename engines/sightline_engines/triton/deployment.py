"""One numbered, immutable deployment of a model, and what its parts are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeAlias

from sightline_engines.errors import DeployError
from sightline_engines.triton.config import TritonConfig

Kind: TypeAlias = Literal["detector", "classifier"]

KINDS: tuple[Kind, ...] = ("detector", "classifier")
TENSORS = "_tensors"  # ends the stable name that takes the network's own tensors
STEPS = ("preprocess", "postprocess")
LONGEST_NAME = 128 - len("__999999999__postprocess")  # of a model: its parts' names fit, too
_PART = re.compile(r"(?P<model>.+)__(?P<number>[1-9]\d{0,8})__(?P<part>[a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model as one deployment has it; never changed once it is made."""

    model: str
    number: int  # 1, 2, … for each model, never given twice
    kind: Kind
    sha256: str  # of the artefact
    artefact_id: int | None
    version: str  # of the stored model
    format: str  # of the artefact: "onnx", "tensorrt"
    precision: str
    platform: str  # "onnxruntime" or "tensorrt_plan"
    config: TritonConfig
    max_batch: int  # 1 for a model of a fixed batch
    created_at: float  # seconds since 1970
    replaces: int | None = None  # what served when it was made: a rollback leads there

    @property
    def pictures(self) -> str:
        """The stable name that takes pictures and answers JSON."""
        return self.model

    @property
    def tensors(self) -> str:
        """The stable name that takes and answers the network's own tensors."""
        return f"{self.model}{TENSORS}"

    @property
    def stable(self) -> tuple[str, str]:
        """Both stable names, in the order in which they are switched."""
        return self.tensors, self.pictures

    @property
    def detector(self) -> str:
        """The network itself; a classifier's ends in __classifier."""
        return self._part(self.kind)

    @property
    def preprocess(self) -> str:
        """The Python step that makes tensors of pictures."""
        return self._part("preprocess")

    @property
    def postprocess(self) -> str:
        """The Python step that makes JSON of tensors."""
        return self._part("postprocess")

    @property
    def parts(self) -> tuple[str, str, str]:
        """Its numbered models, in the order in which a picture goes through them."""
        return self.preprocess, self.detector, self.postprocess

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, another version of Sightline's too.

        Raises ValueError, KeyError or TypeError for anything else.
        """
        values = {"replaces": None} | {
            field.name: data[field.name] for field in fields(cls) if field.name in data
        }
        if values["kind"] not in KINDS or int(values["number"]) < 1:
            raise ValueError("no deployment")
        return cls(**(values | {"config": TritonConfig.read_back(data["config"])}))

    def _part(self, name: str) -> str:
        return f"{self.model}__{self.number}__{name}"


def part_of(name: str) -> tuple[str, int, str] | None:
    """Return (model, number, part) of a numbered model's name, None for any other name."""
    found = _PART.fullmatch(name)
    return (found["model"], int(found["number"]), found["part"]) if found else None


def check_model_name(name: str) -> None:
    """Refuse names that would be taken for another model's parts; raises DeployError."""
    if "__" in name or name.endswith(TENSORS):
        raise DeployError(
            f"'{name}' can't be deployed under this name: '__' and the ending '{TENSORS}' name "
            "the parts of deployments. Rename the model."
        )
    if len(name) > LONGEST_NAME:
        raise DeployError(
            f"'{name[:80]}…' can't be deployed under this name: it has {len(name)} characters, and "
            f"{LONGEST_NAME} at most leave room for the names of its parts. Rename the model."
        )
