"""What an engine on a server can do beyond `Engine`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from sightline_engines.postprocess import DetectOptions
from sightline_engines.types import Detections, Engine

CallResult: TypeAlias = Literal["ok", "away", "failed"]


@dataclass(frozen=True, slots=True)
class Call:
    """How a batch, or a part of one, fared that was sent to the server."""

    result: CallResult
    seconds: float
    most: int | None = None  # the pictures a batch may have from now on: larger ones are too slow


@dataclass(frozen=True, slots=True, eq=False)
class PictureAnswer:
    """What a server that decodes pictures itself found in one; boxes in source pixels."""

    detections: Detections
    size_wh: tuple[int, int]
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    postprocess_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PictureRefusal:
    """Why a server took a picture for none."""

    code: str
    message: str


@runtime_checkable
class RemoteEngine(Engine, Protocol):
    """An engine whose model runs on a server, which may be away for a while.

    While it is, `infer` fails at once with EngineAwayError, or an engine of this machine
    answers, and `served.fallback` says so. Like `infer`, all is for one thread at a time.
    """

    @property
    def trouble(self) -> str | None:
        """Why no batch is answered at the moment; None: they are, by whomever."""
        ...

    def take_calls(self) -> tuple[Call, ...]:
        """Return how what was sent to the server since the last time fared."""
        ...

    def detect_pictures(
        self, pictures: Sequence[bytes], options: Sequence[DetectOptions]
    ) -> list[PictureAnswer | PictureRefusal] | None:
        """Have the server detect in encoded pictures, each with its own options.

        None where it only takes tensors, or can't take pictures of this model just now. Raises
        EngineError.
        """
        ...
