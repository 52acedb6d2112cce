"""From what was measured to the figures and whether each is reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.load.report import Ages
from benchmarks.serving.accuracy import Accuracy
from benchmarks.serving.beside import Beside
from benchmarks.serving.endurance import Long, age_growth, memory_growth
from benchmarks.serving.faults import Kill
from benchmarks.serving.numbers import fairness, median_ratio
from benchmarks.serving.rounds import FULL, Loaded, Round
from benchmarks.serving.search import Capacity

GROWTH_MS = 0.5  # a minute: less is nothing anybody could see

TARGETS: dict[str, tuple[str, str, float]] = {
    "M1": ("answered in time, frames/s ÷ roofline", "≥", 0.90),
    "M2_p50": ("one stream at half load: p50 ÷ B1 p50", "≤", 1.10),
    "M2_p99": ("one stream at half load: p99 ÷ B1 p99", "≤", 1.30),
    "M3": ("goodput at twice the load ÷ at saturation", "≥", 0.95),
    "M4_ratio": ("p99 result age at twice the load ÷ at half", "≤", 2.5),
    "M4_growth": ("growth of p99 result age at twice the load, ms/min", "≤", 0.0),
    "M6": ("CPU a frame outside the model ÷ one decode + letterbox", "≤", 1.5),
    "M7": ("bytes on the wire ÷ JPEG bytes", "≤", 1.02),
    "M8": ("15-fps streams with ≥ 99 % in time ÷ (roofline / 15)", "≥", 0.85),
    "M9_time": ("kill -9: first answer in time ÷ a cold engine load", "≤", 1.2),
    "M9_sessions": ("kill -9: sessions lost", "≤", 0.0),
    "M10": ("memory growth after warm-up, MB/h", "≤", 1.0),
    "jobs_goodput": ("beside a job: frames/s in time at saturation ÷ without", "≥", 0.90),
    "jobs_p99": ("beside a job: p99 result age at half load ÷ without", "≤", 1.5),
    "guard_wrong_stream": ("answers to the wrong stream or frame", "≤", 0.0),
    "guard_fairness": ("Jain fairness at twice the load", "≥", 0.95),
    "guard_accuracy": ("AP50 served ÷ bare", "≥", 0.999),
    "loop_lag_p99": ("event loop lag p99 at twice the load, ms", "≤", 20.0),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    key: str
    value: float
    ok: bool
    note: str = ""

    @property
    def title(self) -> str:
        """What it is."""
        return TARGETS[self.key][0]

    @property
    def target(self) -> str:
        """What it should be."""
        _, sign, limit = TARGETS[self.key]
        return f"{sign} {limit:g}"


@dataclass(slots=True)
class Measured:
    """All that a run has found; what was not asked for is empty."""

    rounds: list[Round] = field(default_factory=list)
    capacity: Capacity | None = None
    kills: list[Kill] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    growth: Long | None = None
    soak: Long | None = None
    accuracy: Accuracy | None = None

    @property
    def roofline(self) -> float:
        """The rounds' median, frames a second."""
        return statistics.median(one.bounds.roofline for one in self.rounds)


def judged(key: str, value: float, note: str = "") -> Figure:
    """Return a figure, held against its target."""
    _, sign, limit = TARGETS[key]
    return Figure(key, value, value >= limit if sign == "≥" else value <= limit, note)


def figures(measured: Measured) -> list[Figure]:
    """Return every figure that what was measured gives, in the table's order."""
    found = [
        *_round_figures(measured.rounds),
        *_long_figures(measured),
        *_fault_figures(measured.kills),
        *_beside_figures(measured.beside),
        *_guards(measured),
    ]
    if measured.capacity is not None:
        most = measured.capacity
        value = most.total_fps / measured.roofline
        note = f"{most.streams:.2f} streams, a slower last one counted as a part"
        found.append(judged("M8", value, note))
    order = list(TARGETS)
    return sorted(found, key=lambda figure: order.index(figure.key))


def _round_figures(rounds: Sequence[Round]) -> Iterator[Figure]:
    def ratio(
        above: Callable[[Round], float], below: Callable[[Round], float], *loads: str
    ) -> float:
        chosen = [one for one in rounds if set(loads) <= one.loads.keys()]
        return median_ratio([(above(one), below(one)) for one in chosen])

    names = {name for one in rounds for name in one.loads}
    if "full" in names:
        value = ratio(lambda r: goodput(r, "full"), lambda r: r.bounds.roofline, "full")
        yield judged("M1", value, f"cameras of 5 fps, {FULL:g} of the roofline offered")
        sent = [one.loads["full"].report for one in rounds if "full" in one.loads]
        yield judged("M7", median_ratio([(r.wire_bytes, r.jpeg_bytes) for r in sent]))
    if "one" in names:
        p50 = ratio(lambda r: age(r, "one").p50, lambda r: r.bounds.loop.p50_ms, "one")
        p99 = ratio(lambda r: age(r, "one").p99, lambda r: r.bounds.loop.p99_ms, "one")
        yield judged("M2_p50", p50)
        yield judged("M2_p99", p99)
    if {"full", "twice"} <= names:
        value = ratio(lambda r: goodput(r, "twice"), lambda r: goodput(r, "full"), "full", "twice")
        yield judged("M3", value)
    if {"half", "twice"} <= names:
        value = ratio(lambda r: age(r, "twice").p99, lambda r: age(r, "half").p99, "half", "twice")
        yield judged("M4_ratio", value)
    if "half" in names:
        value = ratio(lambda r: outside_ms(r, "half"), lambda r: r.bounds.pictures.cpu_ms, "half")
        yield judged("M6", value, _full_m6(rounds))


def _full_m6(rounds: Sequence[Round]) -> str:
    pairs = [
        (outside_ms(one, "full"), one.bounds.pictures.cpu_ms)
        for one in rounds
        if "full" in one.loads
    ]
    if not pairs:
        return "at half load"
    full = median_ratio(pairs)
    return f"at half load; {full:.2f} at {FULL:g} of the roofline, frames given up included"


def _long_figures(measured: Measured) -> Iterator[Figure]:
    if measured.growth is not None:
        growth = age_growth(measured.growth.report)
        flat = growth.known and (growth.lowest <= 0 or growth.rise < GROWTH_MS)
        minutes = measured.growth.report.seconds / 60
        yield Figure("M4_growth", growth.rise, flat, f"{growth} over {minutes:g} min")
    if measured.soak is not None:
        growth = memory_growth(measured.soak.memory)
        last = measured.soak.memory[-1][1] if measured.soak.memory else 0.0
        minutes = measured.soak.report.seconds / 60
        yield judged("M10", growth.rise, f"{growth} over {minutes:g} min, {last:.0f} MB in the end")


def _fault_figures(kills: Sequence[Kill]) -> Iterator[Figure]:
    if kills:
        back, cold = (
            statistics.median(times)
            for times in zip(*((k.back_s, k.cold_s) for k in kills), strict=True)
        )
        failed = sum(kill.failed for kill in kills)
        note = f"{back:.2f} s ÷ {cold:.2f} s; {len(kills)} kills, {failed} frames failed"
        yield judged("M9_time", median_ratio([(k.back_s, k.cold_s) for k in kills]), note)
        yield judged("M9_sessions", sum(kill.sessions_lost for kill in kills))


def _beside_figures(found: Sequence[Beside]) -> Iterator[Figure]:
    full = [one for one in found if one.load == "full"]
    if full:
        without, with_job = (
            statistics.median(report.goodput for report in reports)
            for reports in zip(*((one.without, one.with_job) for one in full), strict=True)
        )
        note = f"{with_job:.1f} ÷ {without:.1f} frames/s, while a benchmark runs at lowest priority"
        yield judged("jobs_goodput", statistics.median(one.goodput for one in full), note)
    half = [one for one in found if one.load == "half"]
    if half:
        without, with_job = (
            statistics.median(report.age_ms.p99 for report in reports)
            for reports in zip(*((one.without, one.with_job) for one in half), strict=True)
        )
        share = statistics.median(one.goodput for one in half)
        note = f"{with_job:.1f} ÷ {without:.1f} ms; {share:.3f} of the frames/s in time"
        yield judged("jobs_p99", statistics.median(one.p99 for one in half), note)


def _guards(measured: Measured) -> Iterator[Figure]:
    loads = [load for one in measured.rounds for load in one.loads.values()]
    reports = [load.report for load in loads]
    reports += [long.report for long in (measured.growth, measured.soak) if long is not None]
    reports += [report for one in measured.beside for report in (one.without, one.with_job)]
    if reports:
        wrong = sum(report.wrong_stream + report.wrong_seq for report in reports)
        yield judged("guard_wrong_stream", wrong, f"of {sum(r.answered for r in reports)} answers")
    twice = [one.loads["twice"] for one in measured.rounds if "twice" in one.loads]
    if twice:
        yield judged("guard_fairness", statistics.median(fair(load) for load in twice))
    lags = [load.lag_p99_ms for load in twice if load.lag_p99_ms is not None]
    if lags:
        yield judged("loop_lag_p99", statistics.median(lags))
    if measured.accuracy is not None:
        of = measured.accuracy
        ways = f"bare {of.bare:.4f}, POST {of.posted:.4f}, live {of.live:.4f}"
        yield judged("guard_accuracy", of.ratio, f"{ways}; {of.pictures} pictures")


def goodput(one: Round, load: str) -> float:
    """Return the frames a second that were answered in time."""
    return one.loads[load].report.goodput


def age(one: Round, load: str) -> Ages:
    """Return how old the answers were."""
    return one.loads[load].report.age_ms


def outside_ms(one: Round, load: str) -> float:
    """Return the processor time of an answered frame that is not the model's own."""
    return one.loads[load].cpu_ms - one.bounds.bare.cpu_ms


def fair(load: Loaded) -> float:
    """Return how fairly the streams of a load were served, by their max-min fair shares."""
    demands = [offered / load.report.seconds for offered in load.report.offered_by_stream]
    served = [answered / load.report.seconds for answered in load.report.in_time_by_stream]
    return fairness(demands, served)
