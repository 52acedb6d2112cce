"""What is wrong now, in words with numbers: what an operator reads first.

The thresholds are those of the alert rules in monitoring/prometheus/rules/, where their reasons
are; each constant here names its rule. The rules look at minutes and wait before they tell
anybody, this looks at seconds and doesn't. What takes hours to see stays with the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sightline_monitoring.figures import Figures

Severity: TypeAlias = Literal["page", "ticket", "note"]

MISSED_PER_S = 0.1  # NothingAnswered
NEAR_DEADLINE = 0.9  # ResultAgeNearDeadline
MISSED_PAGE, MISSED_TICKET = 14.4 * 0.01, 1 * 0.01  # of frames: the objective's fast and slow burn
DROPPED_FPS, DROPPED_SHARE, IDLE_BELOW = 0.2, 0.05, 0.5  # FramesDroppedWhileIdle
WAITING, BATCH_OF_ONE, BUSY = 2, 1.2, 0.8  # BatchesOfOneWithBacklog
FAILED_SHARE = 0.01  # FramesFailing
OLD_IN_LINE_S = 10  # QueueOld
TURNED_AWAY_PER_MIN = 3  # WorkRefused
LATE_LOOP_S = 0.1  # EventLoopLag
RESTARTS = 2.5  # EngineRestarts
GPU_FULL = 0.95  # GpuSaturated, GpuMemoryNearlyFull
NEAR_SLOWDOWN_C = 5  # GpuHot
MEMORY_LEFT = 0.1  # HostMemoryLow
DISK_LEFT, DISK_LEFT_BYTES = 0.1, 20e9  # HostDiskNearlyFull
OPEN_FILES = 0.8  # FileDescriptorsLow


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong; `severity` as of its alert, note: not worth one."""

    code: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class State:
    """What trouble is told by, beside the figures of the last seconds."""

    not_ready: str | None = None  # why the engine takes no frames
    fallback: str | None = None  # why a slower engine runs than might
    restarts: float = 0.0  # of engines, in the last quarter of an hour


def find_trouble(now: Figures, state: State) -> list[Trouble]:
    """Return what is wrong, the worst first; nothing when all is well."""
    found = [*_live(now, state), *_engine(now, state), *_gpu(now), *_host(now)]
    rank = {"page": 0, "ticket": 1, "note": 2}
    return sorted(found, key=lambda trouble: rank[trouble.severity])


def ending_fps(now: Figures) -> float:
    """Return how many frames and uploads end a second, however they end."""
    ends = (now.answered_fps, now.dropped_fps, now.refused_fps, now.failed_fps)
    return sum(rate for rate in ends if rate is not None)


def _live(now: Figures, state: State) -> Iterator[Trouble]:
    ending = ending_fps(now)
    if state.not_ready is not None:
        yield Trouble("not_ready", "page", f"No frames are taken. {state.not_ready}")
    elif now.streams and now.answered_fps == 0:
        yield _starved(now, ending)
    failed, dropped = _part(now.failed_fps, ending), _part(now.dropped_fps, ending)
    if failed > FAILED_SHARE:
        words = f"{_percent(failed)} of the frames fail by the server's fault; its log says why."
        yield Trouble("failing", "ticket", words)
    if (now.queue_age_s or 0.0) > OLD_IN_LINE_S:
        words = f"The longest in line has waited for {now.queue_age_s:.0f} s."
        yield Trouble("queue", "ticket", words)
    turned_away = 60 * (now.turned_away_per_s or 0.0)
    if turned_away > TURNED_AWAY_PER_MIN:
        words = (
            f"Streams or uploads are turned away, {turned_away:.0f} a minute: the server has all "
            "it can take."
        )
        yield Trouble("refusing", "ticket", words)
    if now.streams:  # what became of the last frames of one that has left is no trouble any more
        yield from _late(now)
        if (now.dropped_fps or 0.0) > DROPPED_FPS and dropped > DROPPED_SHARE:
            yield _dropping(now, dropped)


def _late(now: Figures) -> Iterator[Trouble]:
    missed = 0.0 if now.in_time_share is None else 1 - now.in_time_share
    if missed > MISSED_TICKET:
        words = (
            f"{_percent(missed)} of the frames that were owed an answer got none in time; the "
            f"objective allows {_percent(MISSED_TICKET)}."
        )
        yield Trouble("late", "page" if missed > MISSED_PAGE else "ticket", words)
    elif _near_deadline(now):
        words = (
            f"Answers are late: 5 % of them are older than {_ms(now.age_p95_s)}, and the deadline "
            f"is {_ms(now.deadline_s)}."
        )
        yield Trouble("late", "ticket", words)


def _starved(now: Figures, ending: float) -> Trouble:
    streams = "1 stream is open" if now.streams == 1 else f"{now.streams:.0f} streams are open"
    if not ending:
        return Trouble("starved", "ticket", f"{streams}, but no frame arrives.")
    ours = (now.missed_per_s or 0.0) > MISSED_PER_S
    words = f"{streams} and {ending:.3g} frames a second come, but none is answered."
    return Trouble("starved", "page" if ours else "ticket", words)


def _near_deadline(now: Figures) -> bool:
    if now.age_p95_s is None or now.deadline_s is None:
        return False
    return now.age_p95_s > NEAR_DEADLINE * now.deadline_s


def _dropping(now: Figures, dropped: float) -> Trouble:
    reasons = {
        "because a newer one came": now.superseded_fps or 0.0,
        "because they would have been too late": now.late_fps or 0.0,
        "because their stream closed": now.closing_fps or 0.0,
    }
    most = max(reasons, key=lambda reason: reasons[reason])
    words = f"{_percent(dropped)} of the frames are dropped, {now.dropped_fps:.3g} a second, "
    words += f"most of them {most}."
    if now.busy_share is None:
        return Trouble("dropping", "note", words)
    if now.busy_share < IDLE_BELOW:
        words += f" Yet the engine is busy only {now.busy_share:.0%} of the time."
        return Trouble("dropping", "ticket", words)
    words += f" The engine is busy {now.busy_share:.0%} of the time"
    words += ": more comes than it can take." if now.busy_share > BUSY else "."
    return Trouble("dropping", "note", words)


def _engine(now: Figures, state: State) -> Iterator[Trouble]:
    backlog = (now.waiting or 0.0) > WAITING and (now.busy_share or 0.0) > BUSY
    pays = (now.best_batch_size or 1.0) > 1
    if backlog and pays and now.batch_size is not None and now.batch_size < BATCH_OF_ONE:
        words = (
            f"{now.waiting:.0f} pictures wait, yet the engine runs them one by one; batches of "
            f"{now.best_batch_size:.0f} would pay."
        )
        yield Trouble("batches_of_one", "ticket", words)
    if state.restarts >= 1:
        times = "once" if state.restarts == 1 else f"{state.restarts:.0f} times"
        words = f"The engine was started again {times} in 15 minutes; the server's log says why."
        yield Trouble("restarts", "ticket" if state.restarts > RESTARTS else "note", words)
    if now.fallback or state.fallback is not None:
        why = state.fallback or "/health says why."
        yield Trouble("fallback", "ticket", f"A slower engine runs than was asked for: {why}")
    if (now.loop_lag_p99_s or 0.0) > LATE_LOOP_S:
        words = (
            f"The server's own work waits: its event loop is {_ms(now.loop_lag_p99_s)} late at "
            "times (p99)."
        )
        yield Trouble("loop_lag", "ticket", words)


def _gpu(now: Figures) -> Iterator[Trouble]:
    heat, slowdown = now.gpu_celsius, now.gpu_slowdown_celsius
    if heat is not None and slowdown is not None and heat > slowdown - NEAR_SLOWDOWN_C:
        words = f"The GPU is at {heat:.0f} °C; at {slowdown:.0f} °C it slows itself down."
        yield Trouble("gpu_hot", "ticket", words)
    if (now.gpu_share or 0.0) > GPU_FULL:
        words = f"The GPU is busy {now.gpu_share:.0%} of the time: there is no room for more."
        yield Trouble("gpu_full", "ticket", words)
    if (full := _part(now.gpu_memory_bytes, now.gpu_memory_total_bytes)) > GPU_FULL:
        yield Trouble("gpu_memory", "ticket", f"{full:.0%} of the GPU's memory is in use.")


def _host(now: Figures) -> Iterator[Trouble]:
    if (used := _part(now.host_memory_bytes, now.host_memory_total_bytes)) > 1 - MEMORY_LEFT:
        yield Trouble("memory", "ticket", f"{1 - used:.0%} of the machine's memory is left.")
    free = now.disk_free_bytes
    if (
        free is not None
        and free < DISK_LEFT_BYTES
        and _part(free, now.disk_total_bytes) < DISK_LEFT
    ):
        yield Trouble("disk", "ticket", f"{free / 1e9:.1f} GB are free on the disk of the models.")
    if (now.open_files_share or 0.0) > OPEN_FILES:
        words = f"{now.open_files_share:.0%} of the files that the server may open are open."
        yield Trouble("open_files", "ticket", words)


def _part(part: float | None, whole: float | None) -> float:
    return part / whole if part is not None and whole else 0.0


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0.01 < share < 0.1 else f"{share:.0%}"


def _ms(seconds: float | None) -> str:
    return f"{(seconds or 0.0) * 1e3:.0f} ms"
