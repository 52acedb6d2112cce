"""`python -m benchmarks.serving`: measure, print the table, write it to benchmarks/out."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks.load.run import LoadError
from benchmarks.serving import cores, report
from benchmarks.serving.accuracy import measure_accuracy
from benchmarks.serving.beside import beside_a_job
from benchmarks.serving.endurance import endure
from benchmarks.serving.faults import kills
from benchmarks.serving.figures import Measured, figures
from benchmarks.serving.many import many
from benchmarks.serving.numbers import streams_of
from benchmarks.serving.plan import GROUPS, ROOT, BenchmarkError, Plan, write_frames
from benchmarks.serving.rounds import rounds, streams_for
from benchmarks.serving.search import most_streams
from sightline_backend.settings import Settings
from sightline_backend.store.store import open_store
from sightline_engines.errors import SightlineError

SOAK_LOAD = 1.0  # of the roofline


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when everything asked for was measured, reached or not."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)  # else the server that is measured would outlive this
    shared = cores.share_out(cores.own_cores())
    with tempfile.TemporaryDirectory(prefix="sightline-frames-") as folder:
        try:
            spec = open_store(Settings().models_dir).models.find(asked.model)
        except SightlineError as error:
            print(error.message, file=sys.stderr)
            return 1
        plan = _plan(asked, shared, Path(folder), spec.path)
        jpeg_bytes = write_frames(plan.frames)
        try:
            with cores.on_cores([] if shared.generator is None else [shared.generator]):
                if asked.many:
                    print(many(plan, asked.many, asked.minutes, asked.out))
                    return 0
                measured = measure(plan, quick=asked.quick)
        except (BenchmarkError, LoadError) as error:
            print(f"A measurement could not be made. {error}", file=sys.stderr)
            return 1
    about = report.context(plan, measured, spec.sha256, jpeg_bytes)
    print(report.write(asked.out, figures(measured), about))
    return 0


def measure(plan: Plan, quick: bool = False) -> Measured:
    """Make every measurement that the plan asks for; raises BenchmarkError or LoadError."""
    measured = Measured()
    for number, one in enumerate(rounds(plan), 1):
        measured.rounds.append(one)
        _say(f"round {number}: roofline {one.bounds.roofline:.1f} frames/s")
    roofline, deadline_ms = measured.roofline, measured.rounds[0].bounds.deadline_ms
    if "M8" in plan.only:
        _say("how many streams")
        measured.capacity = most_streams(plan, roofline, deadline_ms)
    if "M9" in plan.only:
        _say("kills")
        measured.kills = kills(plan, roofline, deadline_ms)
    if "jobs" in plan.only:
        _say("a job beside the streams")
        measured.beside = beside_a_job(plan, roofline, deadline_ms)
    if "guards" in plan.only:
        _say("accuracy")
        measured.accuracy = measure_accuracy(plan, most=30 if quick else None)
    if "M4" in plan.only and plan.growth_minutes:
        _say(f"twice the load for {plan.growth_minutes:g} minutes")
        streams = streams_for("twice", roofline)
        measured.growth = endure(plan, streams, deadline_ms, plan.growth_minutes)
    if "M10" in plan.only and plan.soak_minutes:
        _say(f"memory for {plan.soak_minutes:g} minutes")
        streams = streams_of(SOAK_LOAD * roofline)
        measured.soak = endure(plan, streams, deadline_ms, plan.soak_minutes)
    return measured


def _plan(asked: argparse.Namespace, shared: cores.Cores, frames: Path, file: Path) -> Plan:
    long = asked.long or asked.only == {"M10"}
    growth = asked.growth_minutes if asked.growth_minutes is not None else 10 * long
    soak = asked.soak_minutes if asked.soak_minutes is not None else 20 * long
    return Plan(
        model=asked.model,
        file=file,
        only=asked.only,
        rounds=1 if asked.quick else asked.rounds,
        seconds=2.0 if asked.quick else asked.seconds,
        warm_s=0.5 if asked.quick else 2.0,
        growth_minutes=growth,
        soak_minutes=soak,
        threads=asked.threads or max(1, len(shared.server)),
        cores=shared,
        frames=frames,
        data=asked.data,
    )


def _groups(text: str) -> frozenset[str]:
    names = frozenset(part.strip() for part in text.split(","))
    if names - set(GROUPS):
        raise argparse.ArgumentTypeError(f"known are {', '.join(GROUPS)}; got {text!r}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    every = frozenset(GROUPS)
    parser.add_argument("--only", type=_groups, default=every, help="M1,M2,… or guards")
    parser.add_argument("--model", default="sightline-webcam", help="a name or an ONNX file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--threads", type=int, help="of the engine; unset: the server's cores")
    parser.add_argument("--long", action="store_true", help="M4's growth and M10 too")
    parser.add_argument("--growth-minutes", type=float, help="10 with --long, else not at all")
    parser.add_argument("--soak-minutes", type=float, help="20 with --long, else not at all")
    parser.add_argument("--quick", action="store_true", help="one short round: is all there?")
    parser.add_argument("--many", type=int, default=0, help="that many unequal streams instead")
    parser.add_argument("--minutes", type=float, default=10.0, help="with --many")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out")
    return parser


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
