"""`python -m benchmarks.load`: one run in this process, its report as JSON."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.load.drive import drive
from benchmarks.load.spec import KINDS, LoadSpec, parse_size, parse_streams


def main() -> int:
    """Read the command line, run, write the report; 1 where no stream could open."""
    asked = _parser().parse_args()
    if asked.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {asked.core})
    report = drive(
        LoadSpec(
            kind=asked.kind,
            url=asked.url,
            streams=asked.streams,
            seconds=asked.seconds,
            deadline_ms=asked.deadline_ms,
            warm_s=asked.warm,
            clip=asked.clip,
            size_wh=asked.size,
            quality=asked.quality,
            frames=asked.frames,
            core=asked.core,
            seed=asked.seed,
            field=asked.field,
            raw=asked.raw,
            header=asked.header,
            timeline=asked.timeline,
        )
    )
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(report.to_json())
    else:
        print(report.to_json())
    refused = sum(report.refused.values())
    if refused == len(asked.streams):
        print(f"No stream could open at {asked.url}: {dict(report.refused)}.", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--kind", choices=KINDS, default="sightline")
    parser.add_argument("--url", required=True, help="ws://…/ws/detect, or http://… to post to")
    parser.add_argument("--streams", type=parse_streams, default=(15.0,), help="15,15,30 or 8x15")
    parser.add_argument("--seconds", type=float, default=10.0, help="time that is counted")
    parser.add_argument("--warm", type=float, default=2.0, help="seconds before that")
    parser.add_argument("--deadline-ms", type=float, default=500.0, help="age that is in time")
    parser.add_argument("--clip", type=Path, help="video to cut frames from, if not the usual one")
    parser.add_argument("--size", type=parse_size, default=(1280, 720), help="of the frames")
    parser.add_argument("--quality", type=int, default=85, help="of the JPEGs")
    parser.add_argument("--frames", type=int, default=60, help="different frames")
    parser.add_argument("--seed", type=int, default=1, help="of the streams' phases")
    parser.add_argument("--core", type=int, help="processor core to stay on")
    parser.add_argument("--field", default="file", help="http: name of the form's field")
    parser.add_argument("--raw", action="store_true", help="http: the JPEG alone is the body")
    parser.add_argument("--header", default="", help="http: a further line of the head")
    parser.add_argument("--timeline", action="store_true", help="report each answer's times")
    parser.add_argument("--out", type=Path, help="file for the report; else it is printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
