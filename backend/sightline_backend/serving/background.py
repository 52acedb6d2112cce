"""What is told of engines that only try something: nothing, for their frames are nobody's."""

from __future__ import annotations

from sightline_backend.batch import Outcome, Work
from sightline_engines.triton.remote import CallResult


class Untold:
    """An observer for a candidate: its frames, loads and failures are no live traffic's.

    What a trial finds is told by the trial itself (`Observer.shadow_compared`).
    """

    def batch_ran(self, size: int, seconds: float) -> None:
        """Say nothing."""

    def engine_worked(self, model: str, seconds: float) -> None:
        """Say nothing."""

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        """Say nothing."""

    def model_load(self, result: str) -> None:
        """Say nothing."""

    def engine_restarted(self, reason: str) -> None:
        """Say nothing."""

    def triton_called(self, result: CallResult, seconds: float) -> None:
        """Say nothing."""

    def fell_back(self, active: bool) -> None:
        """Say nothing."""

    def swapped(self, result: str) -> None:
        """Say nothing."""

    def shadow_compared(self, agreed: bool) -> None:
        """Say nothing."""

    def plan_rebuild(self, result: str) -> None:
        """Say nothing."""
