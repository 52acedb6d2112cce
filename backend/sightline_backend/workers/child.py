"""The worker process: loads one engine, then runs one batch after the other.

    python -m sightline_backend.workers.child SOCKET ARENA SIZE

The first two are its end of a socket pair and the shared memory for pictures, as file
descriptors. It ends when the other end is closed, so no worker outlives
its server, however that one ended.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
from contextlib import closing
from typing import BinaryIO, cast

from sightline_backend.jobs.priority import die_with_parent
from sightline_backend.logs import configure
from sightline_backend.measure import measured
from sightline_backend.remote_batch import run_any
from sightline_backend.workers import pipe
from sightline_backend.workers.arena import Arena
from sightline_backend.workers.engine import load_with
from sightline_backend.workers.messages import Load, Loaded, LoadFailed, pack_run, unpack_works
from sightline_engines.errors import SightlineError
from sightline_engines.types import Engine

log = logging.getLogger(__name__)


def main(fd: int, arena: Arena) -> None:
    """Serve the other end of the socket pair until it is closed."""
    die_with_parent()  # an engine that is at work doesn't see its socket closed
    # A Ctrl-C reaches the whole group of processes: the server decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=fd) as sock, cast(BinaryIO, sock.makefile("rwb")) as stream:
        try:
            _serve(stream, arena, pipe.read(stream))
        except (EOFError, OSError):
            return


def _serve(stream: BinaryIO, arena: Arena, load: Load) -> None:
    configure(load.options.logs, model=load.spec.name)
    try:
        engine = load_with(load.spec, load.options)
    except SightlineError as error:
        pipe.write(stream, LoadFailed(error.code, error.message))
        return
    with closing(engine):  # what it has elsewhere, such as at a server, would outlive this process
        _work(stream, arena, load, engine)


def _work(stream: BinaryIO, arena: Arena, load: Load, engine: Engine) -> None:
    try:
        found = measured(engine, load.measure_up_to, load.limits)
    except SightlineError as error:
        pipe.write(stream, LoadFailed(error.code, error.message))
        return
    gc.freeze()  # what is loaded stays: collecting garbage need not look at it again and again
    pipe.write(stream, Loaded(engine.served, found))
    while True:
        rows = pipe.read(stream)
        try:
            answer = pack_run(run_any(engine, unpack_works(rows, arena), load.limits))
        except Exception:  # the outermost loop: a bug in one batch must not end the engine
            log.exception("a batch of %d failed", len(rows))
            pipe.write(stream, None)
        else:
            pipe.write(stream, answer)


if __name__ == "__main__":
    _socket, _arena, _size = (int(number) for number in sys.argv[1:])
    main(_socket, Arena(_arena, _size))
