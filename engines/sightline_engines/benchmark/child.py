"""The process that measures one thing and ends: its memory is its own, and a crash costs no more.

It reads one request from its standard input and writes progress, "ready" and a result or an
error to its standard output. Before each phase it says that it is ready and waits for a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from sightline_engines.benchmark.accuracy import measure_accuracy
from sightline_engines.benchmark.messages import dataset_from_dict, spec_from_dict
from sightline_engines.benchmark.pictures import picture_bytes
from sightline_engines.benchmark.speed import Pace, Phase, measure_engine, measure_pipeline
from sightline_engines.benchmark.usage import peak_memory
from sightline_engines.errors import SightlineError
from sightline_engines.load import load_engine
from sightline_engines.types import Engine

_TELL_EVERY_S = 0.2


def main() -> None:
    """Do what the first line asks for."""
    answers = _own_output()
    request = json.loads(sys.stdin.readline())
    try:
        started = time.perf_counter()
        spec = spec_from_dict(request["spec"])
        engine = load_engine(
            spec, request["engine"], device=request["device"], threads=request["threads"]
        )
        load_s = time.perf_counter() - started
        try:
            result = _measured(engine, request, answers)
        finally:
            engine.close()
    except SightlineError as error:
        _tell(answers, {"error": error.message, "code": error.code})
    except MemoryError:
        _tell(answers, {"error": "There is not enough memory.", "code": "memory"})
    else:
        _tell(answers, {"result": {**result, "load_s": load_s, "memory_bytes": peak_memory()}})


def _own_output() -> IO[str]:
    """Keep the standard output for messages; what libraries print goes to the log instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _tell(answers: IO[str], message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _measured(engine: Engine, request: Mapping[str, Any], answers: IO[str]) -> dict[str, Any]:
    if request["what"] == "accuracy":
        return {"accuracy": _accuracy(engine, request, answers)}
    pictures = picture_bytes(request["pictures"])
    # Two phases share the cell's time.
    pace = Pace(request["seconds"] / 2, request["warmup_s"] / 2, request["may_stop_early"])
    phases = {}
    for name, measure in (("engine", measure_engine), ("pipeline", measure_pipeline)):

        def begin(phase: str = name) -> None:
            _tell(answers, {"ready": phase})
            if not sys.stdin.readline():
                raise SystemExit(1)  # whoever asked is gone

        phases[name] = _plain(measure(engine, pictures, request["batch"], pace, begin))
    return phases


def _accuracy(engine: Engine, request: Mapping[str, Any], answers: IO[str]) -> dict[str, Any]:
    told_s = 0.0

    def progress(share: float, doing: str) -> None:
        nonlocal told_s
        if time.monotonic() - told_s > _TELL_EVERY_S:
            told_s = time.monotonic()
            _tell(answers, {"progress": share, "doing": doing})

    dataset = dataset_from_dict(request["dataset"])
    return measure_accuracy(engine, dataset, request["batch"], progress).to_dict()


def _plain(phase: Phase) -> dict[str, Any]:
    usage = phase.usage
    return {
        "times_ms": phase.times_ms,
        "seconds": phase.seconds,
        "decode_ms": phase.decode_ms,
        "preprocess_ms": phase.preprocess_ms,
        "infer_ms": phase.infer_ms,
        "postprocess_ms": phase.postprocess_ms,
        "cores": usage.cores,
        "disturbed": usage.disturbed,
    }


if __name__ == "__main__":
    main()
