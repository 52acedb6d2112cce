"""What is wrong now, in words with numbers: what an operator reads first.

The thresholds are those of the alert rules in prometheus/rules/; the rules wait for some minutes
before they tell anybody, this doesn't.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sightline_monitoring.figures import Figures

Severity: TypeAlias = Literal["page", "ticket", "note"]

NEAR_DEADLINE = 0.9  # of the deadline, at which the p95 of the age is near it
LEAST_IN_TIME = 0.99  # the objective
MOST_FAILED = 0.01  # of all frames and uploads
MOST_DROPPED = 0.1  # of all frames and uploads
IDLE_BELOW = 0.5  # of the engines' time: drops are then not for want of an engine
OLD_IN_LINE_S = 1.0
NEAR_SLOWDOWN_C = 5.0
GPU_FULL = 0.95
MEMORY_FULL = 0.9
LATE_LOOP_S = 0.1


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong; `severity` as of the alert that would tell of it."""

    code: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class State:
    """What trouble is told by, beside the figures of the last seconds."""

    not_ready: str | None = None  # why the engine takes no frames
    fallback: str | None = None  # why a slower engine runs than might
    restarts: float = 0.0  # of engines, in the last minutes
    window_s: float = 10.0  # that the figures' rates are over
    memory_s: float = 300.0  # that the restarts were counted in


def find_trouble(now: Figures, state: State) -> list[Trouble]:
    """Return what is wrong, the worst first; nothing when all is well."""
    found = [*_service(now, state), *_frames(now, state), *_engine(now, state), *_machine(now)]
    rank = {"page": 0, "ticket": 1, "note": 2}
    return sorted(found, key=lambda trouble: rank[trouble.severity])


def _service(now: Figures, state: State) -> Iterator[Trouble]:
    if state.not_ready is not None:
        yield Trouble("not_ready", "page", f"No frames are taken. {state.not_ready}")
    elif _starved(now):
        yield Trouble("starved", "page", _starved_words(now, state))
    turned_away = (now.turned_away_per_s or 0.0) * state.window_s
    if turned_away >= 1:
        yield Trouble(
            "refusing",
            "ticket",
            f"{_count(turned_away, 'stream or upload', 'streams and uploads')} turned away in "
            f"the last {state.window_s:.0f} s, since the server has all it can take.",
        )


def _starved(now: Figures) -> bool:
    return bool(now.streams) and now.answered_fps == 0


def _starved_words(now: Figures, state: State) -> str:
    open_ = _count(now.streams or 0, "stream is open", "streams are open")
    arriving = arriving_fps(now)
    if not arriving:
        return f"{open_}, but no frame has ended in the last {state.window_s:.0f} s."
    return f"{open_} and {arriving:.3g} frames a second arrive, but none is answered."


def arriving_fps(now: Figures) -> float:
    """Return how many frames and uploads end a second, however they end."""
    ends = (now.answered_fps, now.dropped_fps, now.refused_fps, now.failed_fps)
    return sum(rate for rate in ends if rate is not None)


def _frames(now: Figures, state: State) -> Iterator[Trouble]:
    arriving = arriving_fps(now)
    failed = (now.failed_fps or 0.0) / arriving if arriving else 0.0
    if failed > MOST_FAILED:
        yield Trouble(
            "failing", "page", f"{failed:.0%} of the frames fail in the server; its log says why."
        )
    if now.in_time_share is not None and now.in_time_share < LEAST_IN_TIME:
        yield Trouble(
            "late",
            "page",
            f"{_share(1 - now.in_time_share)} of the frames that were owed an answer "
            f"got none in time; the objective allows {1 - LEAST_IN_TIME:.0%}.",
        )
    elif near_deadline(now):
        yield Trouble(
            "late",
            "ticket",
            f"95 % of the answers are up to {_ms(now.age_p95_s)} old, close to the deadline of "
            f"{_ms(now.deadline_s)}.",
        )
    dropped = (now.dropped_fps or 0.0) / arriving if arriving else 0.0
    if dropped > MOST_DROPPED:
        yield Trouble(
            "dropping",
            "ticket",
            f"{_share(dropped)} of the frames are dropped: {now.dropped_fps:.3g} a second, "
            f"{_reasons(now)}.{_idle_words(now)}",
        )
    if now.queue_age_s is not None and now.queue_age_s > OLD_IN_LINE_S:
        yield Trouble(
            "queue", "ticket", f"The oldest picture in line has waited {now.queue_age_s:.1f} s."
        )


def near_deadline(now: Figures) -> bool:
    """Tell whether answers are nearly as old as they may be."""
    if now.age_p95_s is None or now.deadline_s is None:
        return False
    return now.age_p95_s > NEAR_DEADLINE * now.deadline_s


def _reasons(now: Figures) -> str:
    reasons = {
        "replaced by a newer one": now.superseded_fps or 0.0,
        "too late to matter": now.late_fps or 0.0,
        "as streams closed": now.closing_fps or 0.0,
    }
    return f"most {max(reasons, key=lambda reason: reasons[reason])}"


def _idle_words(now: Figures) -> str:
    if now.busy_share is None or now.busy_share >= IDLE_BELOW:
        return ""
    return f" The engine is busy only {now.busy_share:.0%} of the time, so it isn't what is short."


def _engine(now: Figures, state: State) -> Iterator[Trouble]:
    if state.restarts >= 1:
        yield Trouble(
            "restarts",
            "ticket",
            f"{_count(state.restarts, 'engine was', 'engines were')} started again in the last "
            f"{state.memory_s / 60:.0f} minutes; the server's log says why.",
        )
    if state.fallback is not None:
        yield Trouble("fallback", "ticket", f"A slower engine is in use: {state.fallback}")


def _machine(now: Figures) -> Iterator[Trouble]:
    if now.gpu_celsius is not None and now.gpu_slowdown_celsius is not None:
        left = now.gpu_slowdown_celsius - now.gpu_celsius
        if left < NEAR_SLOWDOWN_C:
            yield Trouble(
                "gpu_hot",
                "ticket",
                f"The GPU is at {now.gpu_celsius:.0f} °C; it slows itself down at "
                f"{now.gpu_slowdown_celsius:.0f} °C.",
            )
    if now.gpu_share is not None and now.gpu_share > GPU_FULL:
        yield Trouble("gpu_full", "note", f"The GPU is busy {now.gpu_share:.0%} of the time.")
    yield from _memory("gpu_memory", "GPU", now.gpu_memory_bytes, now.gpu_memory_total_bytes)
    yield from _memory("memory", "machine", now.host_memory_bytes, now.host_memory_total_bytes)


def _memory(code: str, what: str, used: float | None, total: float | None) -> Iterator[Trouble]:
    if used is not None and total and used / total > MEMORY_FULL:
        share, size = used / total, total / 2**30
        yield Trouble(
            code, "ticket", f"{share:.0%} of the {what}'s {size:.0f} GiB of memory is in use."
        )


def _count(number: float, one: str, more: str) -> str:
    return f"{number:.0f} {one if round(number) == 1 else more}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _ms(seconds: float | None) -> str:
    return f"{(seconds or 0.0) * 1e3:.0f} ms"
