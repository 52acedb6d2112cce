"""What `bench` and `sweep` found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from sightline_backend.cli.console import stdout
from sightline_backend.cli.triton_bench_runs import Run
from sightline_engines.triton.bench.choice import Limit
from sightline_engines.triton.bench.figures import ServerSplit
from sightline_engines.triton.bench.sweep import Swept

_LATENCY = ("mean", "p50", "p90", "p95", "p99")


def show_runs(runs: Sequence[Run]) -> None:
    """Print throughput and latency of each load, the server's part of it, and remarks."""
    if not runs:
        return
    stdout.print(_loads_table(runs))
    for run in runs:
        if run.measured.server:
            stdout.print()
            title = f"Inside the server, {run.measured.load}: ms of a request on average"
            stdout.print(title, style="bold", markup=False, soft_wrap=True)
            stdout.print(_server_table(run.measured.server))
    for line in dict.fromkeys(line for run in runs for line in _remarks(run)):
        stdout.print(line, style="dim", markup=False, soft_wrap=True)


def show_swept(swept: Swept, limit: Limit) -> None:
    """Print each setting that was tried, the choice and its reasons."""
    table = _table("", "Instances", "Preferred", "Delay µs", "pictures/s", f"{limit.quantile} ms")
    for one in swept.tried:
        latency = limit.of(one.measured) if one.measured else None
        best = one.setting == swept.choice.best
        setting = one.setting
        row = (
            "→" if best else "",
            str(setting.instances),
            "+".join(map(str, setting.preferred_batch_sizes)) or "any",
            str(setting.max_queue_delay_us),
            _number(one.pictures_per_s) if one.measured else "-",
            "-" if latency is None else _number(latency),
        )
        style = "bold" if best else "" if one.fits(limit) else "dim"
        table.add_row(*map(Text, row), style=style)
    stdout.print(table)
    for one in swept.tried:
        if one.error:
            line = f"{one.setting}: {one.error}"
            stdout.print(line, style="dim", markup=False, soft_wrap=True)
        elif one.measured and one.measured.remark:
            line = f"{one.setting}: {one.measured.remark}"
            stdout.print(line, style="dim", markup=False, soft_wrap=True)
    stdout.print()
    if swept.recovered:
        stdout.print(
            f"An earlier sweep was killed at its work; what it had changed in {swept.configured} "
            "was put back first.",
            markup=False,
            soft_wrap=True,
        )
    for line in (*swept.choice.reasons, _outcome(swept)):
        stdout.print(line, markup=False, soft_wrap=True)


def _outcome(swept: Swept) -> str:
    if not swept.complete:
        return f"Stopped before all was tried; {swept.configured} is as it was."
    if swept.written:
        return f"{swept.configured}'s config has it now, and Triton runs it."
    return f"{swept.configured} is as it was."


def _loads_table(runs: Sequence[Run]) -> Table:
    batches = any(run.measured.batch > 1 for run in runs)
    rates_of = ("requests/s", "pictures/s")[: 1 + batches]
    table = _table("Load", *rates_of, *(f"{name} ms" for name in _LATENCY))
    for run in runs:
        found, latency = run.measured, run.measured.latency_ms
        times = [_number(getattr(latency, name)) if latency else "-" for name in _LATENCY]
        rates = (_number(found.requests_per_s), _number(found.pictures_per_s))[: len(rates_of)]
        table.add_row(*map(Text, (found.load, *rates, *times)))
        if run.peer is not None:
            peer = run.peer
            both = (peer.pictures_per_s / found.batch, peer.pictures_per_s)
            rates = tuple(map(_number, both))[: len(rates_of)]
            times = [_number(getattr(peer, f"{name}_ms")) for name in _LATENCY]
            row = ("  perf_analyzer", *rates, *times)
            table.add_row(*map(Text, row), style="dim")
            ratios = [f"{peer.ratio(found):.3f}"] * len(rates_of)
            table.add_row(*map(Text, ("  ours / its", *ratios, *_ratios(run))), style="dim")
    return table


def _ratios(run: Run) -> list[str]:
    peer, latency = run.peer, run.measured.latency_ms
    if peer is None or latency is None:
        return ["-"] * len(_LATENCY)
    pairs = ((getattr(latency, name), getattr(peer, f"{name}_ms")) for name in _LATENCY)
    return [f"{ours / its:.3f}" if its else "-" for ours, its in pairs]


def _server_table(server: Sequence[ServerSplit]) -> Table:
    names = ("queue", "input", "infer", "output", "total")
    table = _table("Model", *names, "batches")
    for split in server:
        times = [_number(getattr(split.mean_ms, name)) for name in names]
        runs, pictures = (
            sum(split.batch_sizes.values()),
            sum(size * count for size, count in split.batch_sizes.items()),
        )
        mean = f"{runs} of {pictures / runs:.1f}" if runs else "-"
        # Of one of our own deployments: the part alone, or the figures have no room.
        table.add_row(*map(Text, (split.model.rpartition("__")[2], *times, mean)))
    return table


def _remarks(run: Run) -> Iterator[str]:
    found = run.measured
    yield f"Sent: {found.sends}."
    if found.remark:
        yield f"{found.load}: {found.remark}."
    for failure in found.failures:
        yield f"{found.load}: {failure.count} failed, {failure.kind}: {failure.example}"
    if found.sent_late:
        share = found.sent_late / found.requests
        yield f"{found.load}: {share:.1%} of the requests left 1 ms or more late; that counts."
    hits = sum(split.cache_hits for split in found.server)
    if hits:
        yield f"{found.load}: {hits} answers came from the response cache, not from the model."
    if run.peer_error:
        yield f"{found.load}: {run.peer_error}"


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
