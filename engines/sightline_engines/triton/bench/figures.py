"""What a measurement found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of the requests that were answered, as a client sees them."""

    mean: float
    deviation: float
    p50: float
    p90: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Failures:
    """Requests that failed in one way."""

    kind: str  # "unavailable", "deadline_exceeded", another gRPC status, or "http_400"
    count: int
    example: str  # what the first of them was told


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time, and the requests that were answered in it."""

    seconds: float
    requests: int  # answered
    failed: int
    requests_per_s: float
    mean_ms: float  # 0 where none was answered
    client_cpu: float = 0.0  # of a core, by the busiest process that sent


@dataclass(frozen=True, slots=True)
class Means:
    """Milliseconds of a request inside the server, on average."""

    total: float
    queue: float
    input: float
    infer: float
    output: float


@dataclass(frozen=True, slots=True)
class ServerSplit:
    """What the server counted for one model in the windows that the figures are of."""

    model: str
    requests: int  # answered
    failed: int
    pictures: int
    executions: int
    cache_hits: int
    mean_ms: Means
    batch_sizes: Mapping[int, int]  # executions by the batch that they ran


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement's figures, of the windows that count: the last three, or all there are.

    `complete` is False where it was cut short, and `remark` then says by what; `stable` tells
    whether the windows agreed, and a rate that was asked for was answered. `latency_ms` is None
    where no request was.
    """

    model: str
    load: str
    sends: str  # what a request holds
    batch: int
    complete: bool
    stable: bool
    remark: str
    windows: tuple[Window, ...]  # all of them
    counted: int  # of which so many, the last ones, make the figures
    seconds: float
    requests: int  # answered
    requests_per_s: float
    pictures_per_s: float
    latency_ms: Latency | None
    failures: tuple[Failures, ...]
    sent_late: int  # of `requests`, sent 1 ms or more after they were due
    server: tuple[ServerSplit, ...]  # the model, then the parts of an ensemble
    client_cpu: float = 0.0  # of a core, by the busiest process that sent
    keeps_rate: bool = True  # False: a rate was asked for and fewer were answered

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return sum(one.count for one in self.failures)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return asdict(self)
