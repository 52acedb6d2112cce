"""What runs batches for the batcher: the seam between scheduling and engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sightline_backend.batch import BatchRun, Work
from sightline_engines.types import ModelSpec, ServedModel

LossReason = Literal["crashed", "hung", "failing"]
LONGEST_LOAD_S = 1800.0  # of an engine that is built as it loads; TensorRT takes minutes


@dataclass(frozen=True, slots=True)
class Measured:
    """What an engine takes: seconds by batch size, and a frame's seconds beside the engine."""

    batch_s: Mapping[int, float] = field(default_factory=dict)
    per_frame_s: float = 0.0


class RunnerLost(Exception):
    """The engine is gone, with the batch that it had; `start` brings it back."""

    def __init__(self, reason: LossReason, message: str) -> None:
        super().__init__(message)
        self.reason: LossReason = reason
        self.message = message


class Runner(Protocol):
    """One engine and what it runs in. One call at a time, on the event loop's thread."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def served(self) -> ServedModel:
        """The engine that answers; known once it has started."""
        ...

    @property
    def pid(self) -> int | None:
        """The engine's own process while there is one."""
        ...

    async def start(self, measure_up_to: int | None) -> Measured:
        """Load the engine, or load it anew, and measure batches up to a size.

        None measures nothing. Raises SightlineError for a model that can't be run here.
        """
        ...

    async def run(self, works: Sequence[Work], expected_s: float) -> BatchRun:
        """Run a batch that should take `expected_s`; raises RunnerLost."""
        ...

    async def close(self) -> None:
        """Let the engine go, whatever state it is in."""
        ...
