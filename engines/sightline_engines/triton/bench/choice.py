"""Which of the settings that were tried is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sightline_engines.triton.bench.figures import Measured
from sightline_engines.triton.bench.setting import Setting

Quantile: TypeAlias = Literal["p50", "p90", "p95", "p99"]

EVEN = 0.02  # throughput that differs by less is the same: no measurement is finer


@dataclass(frozen=True, slots=True)
class Limit:
    """The longest latency that so many requests may have."""

    latency_ms: float
    quantile: Quantile = "p99"

    def of(self, measured: Measured) -> float | None:
        """Return what is held against it; None where nothing was answered."""
        found = measured.latency_ms
        return None if found is None else float(getattr(found, self.quantile))

    def __str__(self) -> str:
        return f"{self.quantile} of {self.latency_ms:g} ms"


@dataclass(frozen=True, slots=True)
class Tried:
    """A setting and what came of it."""

    setting: Setting
    measured: Measured | None  # None: it couldn't be measured
    error: str = ""

    def fits(self, limit: Limit) -> bool:
        """Tell whether it was measured to the end, took all that was sent, and kept the limit."""
        measured = self.measured
        if measured is None or not measured.complete or measured.failed or not measured.keeps_rate:
            return False
        found = limit.of(measured)
        return found is not None and found <= limit.latency_ms

    @property
    def pictures_per_s(self) -> float:
        """Its throughput; 0 if it wasn't measured."""
        return self.measured.pictures_per_s if self.measured else 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The best setting and why, or why there is none."""

    best: Setting | None
    reasons: tuple[str, ...]


def choose(tried: Sequence[Tried], present: Setting, limit: Limit) -> Choice:
    """Choose by throughput among the settings within the limit.

    Among those that are as good as the best the present one goes first, then fewer instances, a
    shorter delay, fewer and smaller preferred batches: the same figures give the same choice.
    """
    fitting = [one for one in tried if one.fits(limit)]
    if not fitting:
        return Choice(None, (f"No setting stays within a {limit}.", *_nearest(tried, limit)))
    top = max(one.pictures_per_s for one in fitting)
    even = [one for one in fitting if one.pictures_per_s >= top * (1 - EVEN)]
    best = min(even, key=lambda one: _order(one.setting, present))
    measured = best.measured
    assert measured is not None  # noqa: S101  it fits
    reasons = [
        f"{len(fitting)} of {len(tried)} settings stay within a {limit}.",
        f"{best.setting}: {best.pictures_per_s:.1f} pictures/s, {limit.quantile} "
        f"{limit.of(measured) or 0:.1f} ms.",
    ]
    if len(even) > 1:
        reasons.append(
            f"{len(even) - 1} more came within {EVEN:.0%} of the fastest ({top:.1f} pictures/s); "
            "of equals the present setting goes first, then fewer instances, a shorter delay and "
            "fewer preferred batches."
        )
    reasons += _against_present(best, tried, present, limit)
    return Choice(best.setting, tuple(reasons))


def _order(setting: Setting, present: Setting) -> tuple[object, ...]:
    sizes = setting.preferred_batch_sizes
    delay = setting.max_queue_delay_us
    return setting != present, setting.instances, delay, len(sizes), sizes


def _against_present(
    best: Tried, tried: Sequence[Tried], present: Setting, limit: Limit
) -> list[str]:
    if best.setting == present:
        return ["This is the present setting: nothing changes."]
    before = next((one for one in tried if one.setting == present), None)
    if before is None or not before.pictures_per_s:
        return []
    gain = best.pictures_per_s / before.pictures_per_s - 1
    outside = "" if before.fits(limit) else ", which doesn't stay within the limit"
    return [f"{gain:+.0%} over the present {present}{outside}."]


def _nearest(tried: Sequence[Tried], limit: Limit) -> list[str]:
    """Say which setting came nearest, so that the limit can be set anew."""
    found = [
        (latency, one.setting)
        for one in tried
        if one.measured and (latency := limit.of(one.measured)) is not None
    ]
    if not found:
        return ["None could be measured; their errors say why."]
    latency, setting = min(found, key=lambda one: (one[0], str(one[1])))
    return [f"The quickest was {setting} with a {limit.quantile} of {latency:.1f} ms."]
