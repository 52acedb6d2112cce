"""What is wrong now, in words with numbers: what an operator reads first.

The thresholds are those of the alert rules in monitoring/prometheus/rules/, where their reasons
are; each constant names its rule. The rules look at minutes and wait before they tell anybody,
this looks at seconds and doesn't: so a few frames, or refusals, have to go wrong before it says
a word. What takes hours to see stays with the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sightline_monitoring.figures import Figures
from sightline_monitoring.machine_trouble import machine_trouble
from sightline_monitoring.span import ratio

Severity: TypeAlias = Literal["page", "ticket", "note"]

A_FEW = 3  # frames that failed, were missed or refused: fewer are single events
ENOUGH_OWED = 20  # frames, before a share of them pages anybody
NEAR_DEADLINE = 0.9  # ResultAgeNearDeadline
MISSED_PAGE, MISSED_TICKET = 14.4 * 0.01, 1 * 0.01  # of frames: the objective's fast and slow burn
DROPPED_FPS, DROPPED_SHARE, IDLE_BELOW = 0.2, 0.05, 0.5  # FramesDroppedWhileIdle
WAITING, BATCH_OF_ONE, BUSY = 2, 1.2, 0.8  # BatchesOfOneWithBacklog
FAILED_SHARE = 0.01  # FramesFailing
BAD_SHARE = 0.05  # no rule: the senders are told, and have to mend it
OLD_UPLOAD_S, OLD_FRAME_DEADLINES = 10, 2  # QueueOld
TURNED_AWAY_PER_MIN = 3  # WorkRefused
LATE_LOOP_S = 0.1  # EventLoopLag
RESTARTS = 2.5  # EngineRestarts

_TURNED_AWAY = {
    "streams": "there are as many streams as there may be",
    "rate": "the rate that they asked for is promised to others",
    "uploads": "as many uploads wait as may",
    "engine": "an engine takes no frames",
    "model": "their model can't be had at once",
}


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
    turned_away: Mapping[str, float] = field(default_factory=dict)  # last minute, by reason
    loop_lag_p99_s: float | None = None  # in the last minute: one late turn is a single event


def find_trouble(now: Figures, state: State) -> list[Trouble]:
    """Return what is wrong, the worst first; nothing when all is well."""
    found = [*_live(now, state), *_engine(now, state)]
    found += [Trouble(code, "ticket", words) for code, words in machine_trouble(now)]
    rank = {"page": 0, "ticket": 1, "note": 2}
    return sorted(found, key=lambda trouble: rank[trouble.severity])


def _live(now: Figures, state: State) -> Iterator[Trouble]:
    refused_fps, failed_fps = now.refused_fps or 0.0, now.failed_fps or 0.0
    good_fps = (now.answered_fps or 0.0) + (now.dropped_fps or 0.0) + failed_fps
    ending_fps = good_fps + refused_fps
    refused, failed = ratio(refused_fps, ending_fps) or 0.0, ratio(failed_fps, ending_fps) or 0.0
    if state.not_ready is not None:
        yield Trouble("not_ready", "page", f"No frames are taken. {state.not_ready}")
    elif now.streams and now.answered_fps == 0 and (good_fps or not refused_fps):
        yield _starved(now, good_fps)
    if failed > FAILED_SHARE and (now.failed_frames or 0.0) >= A_FEW:
        words = f"{_percent(failed)} of the frames fail by the server's fault; its log says why."
        yield Trouble("failing", "ticket", words)
    yield from _waiting(now)
    if (turned_away := sum(state.turned_away.values())) > TURNED_AWAY_PER_MIN:
        why = _TURNED_AWAY.get(max(state.turned_away, key=lambda one: state.turned_away[one]), "")
        words = f"{turned_away:.0f} times in the last minute, a stream or upload was turned away"
        yield Trouble("refusing", "ticket", f"{words}: {why}." if why else f"{words}.")
    if now.streams:  # what became of the last frames of one that has left is no trouble any more
        yield from _late(now)
        yield from _dropping(now, ending_fps)
    if refused > BAD_SHARE and (now.refused_frames or 0.0) >= A_FEW:
        words = (
            f"{_percent(refused)} of the frames and uploads are refused for what they are, "
            f"{refused_fps:.3g} a second: too large, say, or no picture. Their senders are told."
        )
        yield Trouble("bad_frames", "note", words)


def _starved(now: Figures, good_fps: float) -> Trouble:
    streams = "1 stream is open" if now.streams == 1 else f"{now.streams:.0f} streams are open"
    if not good_fps:
        return Trouble("starved", "ticket", f"{streams}, but no frame arrives.")
    ours = (now.missed_frames or 0.0) >= A_FEW  # the others' senders were promised nothing
    words = f"{streams} and frames come, {good_fps:.3g} a second, but none is answered."
    return Trouble("starved", "page" if ours else "ticket", words)


def _waiting(now: Figures) -> Iterator[Trouble]:
    if (now.upload_wait_s or 0.0) > OLD_UPLOAD_S:
        words = f"An upload has waited for {now.upload_wait_s:.0f} s."
        yield Trouble("queue", "ticket", words)
    longest_s = OLD_FRAME_DEADLINES * (now.deadline_s or 0.0)
    if longest_s and (now.live_wait_s or 0.0) > longest_s:
        words = f"A live frame has waited for {now.live_wait_s:.1f} s, though the deadline is "
        yield Trouble("queue", "ticket", f"{words}{_ms(now.deadline_s)}: the line stands.")


def _late(now: Figures) -> Iterator[Trouble]:
    owed, missed = now.owed_frames or 0.0, now.missed_frames or 0.0
    share = ratio(missed, owed) or 0.0
    if share > MISSED_TICKET and missed >= A_FEW:
        page = share > MISSED_PAGE and owed >= ENOUGH_OWED
        words = (
            f"{missed:.0f} of the last {owed:.0f} frames that were owed an answer got none in "
            f"time, {_percent(share)}; the objective allows {_percent(MISSED_TICKET)}."
        )
        yield Trouble("late", "page" if page else "ticket", words)
    elif _near_deadline(now):
        words = (
            f"Answers are late: 5 % of them are older than {_ms(now.age_p95_s)}, and the deadline "
            f"is {_ms(now.deadline_s)}."
        )
        yield Trouble("late", "ticket", words)


def _near_deadline(now: Figures) -> bool:
    if now.age_p95_s is None or now.deadline_s is None:
        return False
    return now.age_p95_s > NEAR_DEADLINE * now.deadline_s


def _dropping(now: Figures, ending_fps: float) -> Iterator[Trouble]:
    """Tell of frames that were dropped for another reason than their stream's end."""
    newer, late = now.superseded_fps or 0.0, now.late_fps or 0.0
    share = ratio(newer + late, ending_fps) or 0.0
    if newer + late <= DROPPED_FPS or share <= DROPPED_SHARE:
        return
    most = "a newer one came" if newer > late else "they would have been too late"
    words = f"{_percent(share)} of the frames are dropped, {newer + late:.3g} a second, "
    words += f"most of them because {most}."
    if now.busy_share is None:
        yield Trouble("dropping", "note", words)
    elif now.busy_share < IDLE_BELOW:
        words += f" Yet the engine is busy only {now.busy_share:.0%} of the time."
        yield Trouble("dropping", "ticket", words)
    else:
        words += f" The engine is busy {now.busy_share:.0%} of the time"
        words += ": more comes than it can take." if now.busy_share > BUSY else "."
        yield Trouble("dropping", "note", words)


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
    if (state.loop_lag_p99_s or 0.0) > LATE_LOOP_S:
        words = (
            f"The server's own work waits: its event loop is {_ms(state.loop_lag_p99_s)} late at "
            "times (p99)."
        )
        yield Trouble("loop_lag", "ticket", words)


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0.01 < share < 0.1 else f"{share:.0%}"


def _ms(seconds: float | None) -> str:
    return f"{(seconds or 0.0) * 1e3:.0f} ms"
