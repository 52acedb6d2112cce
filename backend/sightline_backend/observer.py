"""Who is told what the batcher, its lanes and what serves do."""

from __future__ import annotations

from typing import Protocol

from sightline_backend.batch import Outcome, Work
from sightline_engines.triton.remote import CallResult


class Observer(Protocol):
    """Is told what happened; called on the event loop's thread."""

    def batch_ran(self, size: int, seconds: float) -> None:
        """`size` frames ran in one engine call of `seconds`, letterbox to boxes."""

    def engine_worked(self, model: str, seconds: float) -> None:
        """An engine of `model` had a batch in hand for `seconds`, whatever came of it."""

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        """A frame or an upload has its one outcome."""

    def model_load(self, result: str) -> None:
        """A model was "loaded", or that "failed"."""

    def engine_restarted(self, reason: str) -> None:
        """An engine that was lost for `reason` is started again."""

    def triton_called(self, result: CallResult, seconds: float) -> None:
        """A batch was sent to Triton and came back, or not, after `seconds`."""

    def fell_back(self, active: bool) -> None:
        """A batch of engine triton was answered, by its standby if that is `active`."""

    def swapped(self, result: str) -> None:
        """What serves was to change: it was "swapped", "rolled_back", "refused" or it "failed"."""

    def shadow_compared(self, agreed: bool) -> None:
        """A frame was run by a candidate, too, whose boxes all agreed with the answer's or not."""

    def plan_rebuild(self, result: str) -> None:
        """A plan that didn't fit this machine was "built", or that "failed"."""
