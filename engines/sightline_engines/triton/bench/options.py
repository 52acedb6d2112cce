"""What is measured, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sightline_engines.triton.options import Protocol, TritonOptions

Arrivals: TypeAlias = Literal["constant", "poisson"]


@dataclass(frozen=True, slots=True)
class Closed:
    """So many requests always in flight: the next one goes when an answer comes."""

    in_flight: int = 1

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ValueError(f"{self.in_flight} requests in flight: give one at least")

    def __str__(self) -> str:
        return f"{self.in_flight} in flight"


@dataclass(frozen=True, slots=True)
class Open:
    """Requests at a rate, however slow the answers are.

    A request's latency counts from when it was due, so one that had to wait for a free place
    among `most_in_flight` is as slow as its user would have found it.
    """

    rate: float  # requests a second
    arrivals: Arrivals = "constant"
    most_in_flight: int = 64

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"{self.rate:g} requests a second: the rate must be above 0")
        if self.most_in_flight < 1:
            raise ValueError(f"{self.most_in_flight} requests in flight: give one at least")

    def __str__(self) -> str:
        return f"{self.rate:g}/s, {self.arrivals}"


@dataclass(frozen=True, slots=True)
class Stable:
    """Measure windows until the last three agree in throughput and latency."""

    window_s: float = 5.0
    tolerance: float = 0.1  # of their mean, up and down
    most_windows: int = 10

    def __post_init__(self) -> None:
        if not self.window_s > 0 or not self.tolerance > 0:
            raise ValueError("the window's length and the tolerance must be above 0")
        if self.most_windows < 3:
            raise ValueError(f"{self.most_windows} windows: three at least are compared")


@dataclass(frozen=True, slots=True)
class Count:
    """Measure so many requests, whether steady or not."""

    requests: int

    def __post_init__(self) -> None:
        if self.requests < 1:
            raise ValueError(f"{self.requests} requests: give one at least")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """One measurement; `url` is host:port of the protocol that is used."""

    url: str
    model: str
    version: str = ""
    protocol: Protocol = "grpc"
    load: Closed | Open = field(default_factory=Closed)
    until: Stable | Count = field(default_factory=Stable)
    warmup_requests: int = 10  # sent first, in no figure
    batch: int = 1  # pictures a request
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # without the batch
    pictures: tuple[bytes, ...] = ()  # encoded, for a model that takes BYTES, in turn
    timeout_s: float = 30.0  # of each request
    processes: int = 1  # that make the load; one sends some 2,500 small requests a second
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.processes < 1:
            raise ValueError("batch and processes must be 1 at least")
        if self.warmup_requests < 0 or not self.timeout_s > 0:
            raise ValueError("warm-up requests can't be negative, and the timeout must be above 0")

    def triton(self, timeout_s: float = 10.0) -> TritonOptions:
        """Return how the server is asked for anything but the load itself."""
        if self.protocol == "grpc":
            return TritonOptions(grpc_url=self.url, protocol="grpc", timeout_s=timeout_s)
        return TritonOptions(http_url=self.url, protocol="http", timeout_s=timeout_s)
