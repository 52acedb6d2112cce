"""What server and worker process say to each other, and how it goes over a socket pair.

A message is its length (8 bytes, network order) and a pickle. Pickle is right here and
nowhere else in Sightline: both ends are the same program, started by the same user, and the
worker process guards against crashes, not against intruders.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from sightline_backend.batch import Work
from sightline_backend.workers.runner import Measured
from sightline_engines.load import EngineName
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec, ServedModel

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a worker process runs its engine."""

    engine: EngineName = "auto"
    device: str | None = None
    threads: int | None = None
    cores: frozenset[int] | None = None  # the processor cores it may use; None: all


@dataclass(frozen=True, slots=True)
class Load:
    """Server → worker, first: load this."""

    spec: ModelSpec
    options: EngineOptions
    limits: PictureLimits
    measure_up_to: int | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Worker → server: ready for batches."""

    served: ServedModel
    measured: Measured


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Worker → server: the model can't be run here; nothing follows."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Run:
    """Server → worker: run this batch. The answer is a `BatchRun`, or None after a bug."""

    works: Sequence[Work]


def write(stream: BinaryIO, message: object) -> None:
    """Send a message; raises OSError once the other end is gone."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read(stream: BinaryIO) -> Any:
    """Wait for a message; raises EOFError once the other end is gone."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  see above


async def send(stream: asyncio.StreamWriter, message: object) -> None:
    """Send a message from the event loop; raises ConnectionError once the other end is gone."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    await stream.drain()


async def receive(stream: asyncio.StreamReader) -> Any:
    """Wait for a message; raises IncompleteReadError or ConnectionError at the other's end."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return pickle.loads(await stream.readexactly(length))  # noqa: S301  see above
