"""The worker process: loads one engine, then runs one batch after the other.

    python -m sightline_backend.workers.child FD

FD is its end of a socket pair. It ends when the other end is closed, so no worker outlives
its server, however that one ended.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import BinaryIO, cast

from sightline_backend.batch import run_batch
from sightline_backend.measure import measure
from sightline_backend.workers import pipe
from sightline_backend.workers.runner import Measured
from sightline_engines.errors import SightlineError
from sightline_engines.load import load_engine
from sightline_engines.types import Engine

log = logging.getLogger(__name__)


def main(fd: int) -> None:
    """Serve the other end of the socket pair until it is closed."""
    # A Ctrl-C reaches the whole group of processes: the server decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=fd) as sock, cast(BinaryIO, sock.makefile("rwb")) as stream:
        try:
            _serve(stream, pipe.read(stream))
        except (EOFError, OSError):
            return


def _serve(stream: BinaryIO, load: pipe.Load) -> None:
    try:
        engine, measured = _loaded(load)
    except SightlineError as error:
        pipe.write(stream, pipe.LoadFailed(error.code, error.message))
        return
    pipe.write(stream, pipe.Loaded(engine.served, measured))
    while True:
        request: pipe.Run = pipe.read(stream)
        try:
            answer = run_batch(engine, request.works, load.limits)
        except Exception:  # the outermost loop: a bug in one batch must not end the engine
            log.exception("a batch of %d failed", len(request.works))
            pipe.write(stream, None)
        else:
            pipe.write(stream, answer)


def _loaded(load: pipe.Load) -> tuple[Engine, Measured]:
    options = load.options
    if options.cores is not None:
        os.sched_setaffinity(0, options.cores)
    engine = load_engine(load.spec, options.engine, device=options.device, threads=options.threads)
    if load.measure_up_to is None:
        return engine, Measured()
    return engine, measure(engine, load.measure_up_to, load.limits)


if __name__ == "__main__":
    main(int(sys.argv[1]))
