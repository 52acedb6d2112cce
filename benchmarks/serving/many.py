"""Many cameras of unequal rates, twice what the engine can take: does result age stay flat?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.report import LoadReport
from benchmarks.serving.bounds import measure_bounds
from benchmarks.serving.endurance import Long, age_growth, endure, memory_growth
from benchmarks.serving.numbers import fair_shares, fairness, quantile, unequal_streams
from benchmarks.serving.plan import Plan
from benchmarks.serving.rounds import TWICE


def many(plan: Plan, count: int, minutes: float, out: Path) -> str:
    """Run `count` streams for some minutes; returns the tables and writes ages.png."""
    bounds = measure_bounds(plan)
    streams = unequal_streams(TWICE * bounds.roofline, count)
    long = endure(plan, streams, bounds.deadline_ms, minutes)
    out.mkdir(parents=True, exist_ok=True)
    _plot(long.report, out / "ages.png")
    text = as_text(long.report, bounds.roofline) + _memory(long)
    (out / "many.md").write_text(text)
    return text


def as_text(report: LoadReport, roofline: float) -> str:
    """Return result age by the minute, how it moves, and what each rate of stream got."""
    lines = [
        f"{len(report.rates)} streams, {sum(report.rates):.0f} frames/s offered, roofline "
        f"{roofline:.1f}, deadline {report.deadline_ms:.0f} ms, {report.goodput:.1f} in time.",
        "",
        "| minute | answers | age p50 ms | age p99 ms |",
        "| --- | --- | --- | --- |",
    ]
    for minute, ages in sorted(by_minute(report).items()):
        p50, p99 = quantile(ages, 0.5), quantile(ages, 0.99)
        lines.append(f"| {minute + 1} | {len(ages)} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} |")
    growth = age_growth(report)
    demands = [offered / report.seconds for offered in report.offered_by_stream]
    served = [answered / report.seconds for answered in report.in_time_by_stream]
    lines += [
        "",
        f"p99 moves by {growth} ms a minute. Jain fairness {fairness(demands, served):.4f}. "
        f"Answers to the wrong stream or frame: {report.wrong_stream + report.wrong_seq}; "
        f"lost: {report.lost}; connections ended: {report.closed}.",
        "",
        "| stream asks for, fps | fair share | least | most |",
        "| --- | --- | --- | --- |",
    ]
    shares = fair_shares(demands, sum(served))
    for rate in sorted(set(report.rates)):
        mine = [i for i, asked in enumerate(report.rates) if asked == rate]
        got = [served[i] for i in mine]
        lines.append(f"| {rate:.2f} | {shares[mine[0]]:.2f} | {min(got):.2f} | {max(got):.2f} |")
    return "\n".join(lines) + "\n"


def _memory(long: Long) -> str:
    """Say how the server's memory moves: all of its processes, after warm-up."""
    if not long.memory:
        return ""
    growth, last_mb = memory_growth(long.memory), long.memory[-1][1]
    return f"\nMemory of the server: {growth} MB an hour, {last_mb:.0f} MB in the end.\n"


def by_minute(report: LoadReport) -> dict[int, list[float]]:
    """Return the ages of answers, in seconds, by the minute in which their frames were due."""
    minutes: dict[int, list[float]] = {}
    for due_s, at_s in report.timeline:
        minutes.setdefault(int((due_s - report.start_s) // 60), []).append(at_s - due_s)
    return minutes


def _plot(report: LoadReport, out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    minutes: Sequence[float] = [window.at_s / 60 for window in report.windows]
    axes.plot(minutes, [window.age_ms.p99 for window in report.windows], label="p99")
    axes.plot(minutes, [window.age_ms.p50 for window in report.windows], label="p50")
    axes.axhline(report.deadline_ms, color="grey", linestyle=":", label="deadline")
    axes.set(xlabel="minutes", ylabel="result age, ms", ylim=(0, None))
    axes.set_title(f"{len(report.rates)} streams at twice what the engine can take", fontsize=10)
    axes.legend()
    figure.savefig(out, dpi=120)
