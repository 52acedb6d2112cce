"""What a model is exported to, and how it is measured: the words of the CLI's options too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from sightline_engines.convert.options import Precision
from sightline_engines.triton.options import Protocol, TritonOptions

InputType: TypeAlias = Literal[
    "float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PORT = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
_OPSETS = range(13, 21)  # INT8 a channel begins with 13; PyTorch's exporter ends with 20
_LONGEST_SIDE = 2**31


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What is to be made of a module.

    `input_shapes` are in the order of forward()'s arguments and without the batch, which comes
    first, unless `max_batch_size` is 0: then there is none. `dynamic_axes` names the axes that
    stay open, counted from the batch on as PyTorch does; axes of one name always have one side.
    """

    model_name: str
    precision: Precision = "fp32"
    max_batch_size: int = 8
    input_shapes: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: {"input": (3, 224, 224)}
    )
    input_types: Mapping[str, InputType] = field(default_factory=dict)  # float32 if not named
    dynamic_axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    axis_ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # least and greatest
    output_names: tuple[str, ...] = ()  # the module's own if it answers with a dict
    opset_version: int = 17
    workspace_size_gb: float = 4.0  # that TensorRT's builder may take on the GPU
    target_latency_ms: float | None = None  # of the benchmark's p99

    def __post_init__(self) -> None:
        """Raise ValueError naming the field, what it holds and what it may hold."""
        if not _NAME.fullmatch(self.model_name):
            raise ValueError(
                f"model_name is {self.model_name!r}; it can be letters, digits, '.', '_' and '-', "
                "128 at most, beginning with a letter or digit"
            )
        if self.precision not in ("fp32", "fp16", "int8"):
            raise ValueError(f"precision is {self.precision!r}; it can be fp32, fp16 or int8")
        if not 0 <= self.max_batch_size <= 1024:
            raise ValueError(f"max_batch_size is {self.max_batch_size}; it can be 0 to 1024")
        if self.opset_version not in _OPSETS:
            raise ValueError(
                f"opset_version is {self.opset_version}; it can be {_OPSETS[0]} to {_OPSETS[-1]}"
            )
        if not 0 < self.workspace_size_gb <= 1024:
            raise ValueError(
                f"workspace_size_gb is {self.workspace_size_gb}; it can be 0.1 to 1024"
            )
        if self.target_latency_ms is not None and not self.target_latency_ms > 0:
            raise ValueError(f"target_latency_ms is {self.target_latency_ms}; it must be above 0")
        self._check_inputs()
        self._check_axes()

    @property
    def batched(self) -> bool:
        """Whether the first axis is the batch, which Triton may fill from several requests."""
        return self.max_batch_size > 0

    def whole_shape(self, name: str, batch: int = 1) -> tuple[int, ...]:
        """Return an input's shape with its batch, if it has one."""
        shape = tuple(self.input_shapes[name])
        return (batch, *shape) if self.batched else shape

    def dtype(self, name: str) -> np.dtype[np.generic]:
        """Return an input's kind of number."""
        return np.dtype(self.input_types.get(name, "float32"))

    def axes(self) -> dict[str, dict[int, str]]:
        """Return every open axis of every input, the batch among them."""
        batch = {0: "batch"} if self.batched else {}
        return {name: batch | dict(self.dynamic_axes.get(name, {})) for name in self.input_shapes}

    def range_of(self, axis: str) -> tuple[int, int] | None:
        """Return a named axis' least and greatest side where they were given."""
        return self.axis_ranges.get(axis)

    def _check_inputs(self) -> None:
        if not self.input_shapes:
            raise ValueError("input_shapes is empty; name each input, as {'input': (3, 224, 224)}")
        for name, shape in self.input_shapes.items():
            if not _PORT.fullmatch(name):
                raise ValueError(f"an input can't be named {name!r}: take letters, digits and '_'")
            if not all(1 <= side < _LONGEST_SIDE for side in shape):
                raise ValueError(
                    f"the input {name} is {tuple(shape)}; every side must be 1 at least. Leave the "
                    "batch out, and name open sides in dynamic_axes"
                )
        for name in (*self.input_types, *self.dynamic_axes):
            if name not in self.input_shapes:
                raise ValueError(
                    f"there is no input {name!r}; there are {', '.join(self.input_shapes)}"
                )

    def _check_axes(self) -> None:
        sides: dict[str, int] = {}
        for name, axes in self.dynamic_axes.items():
            whole = self.whole_shape(name)
            for axis, called in axes.items():
                if not int(self.batched) <= axis < len(whole):
                    raise ValueError(
                        f"dynamic_axes names axis {axis} of {name}; it can be "
                        f"{int(self.batched)} to {len(whole) - 1} of {list(whole)}"
                        + (", and the batch is open by itself" if self.batched else "")
                    )
                if sides.setdefault(called, whole[axis]) != whole[axis]:
                    raise ValueError(
                        f"the axis {called!r} is {sides[called]} and {whole[axis]} long; give "
                        "axes of different sides different names"
                    )
        for called, (least, most) in self.axis_ranges.items():
            if called not in sides:
                raise ValueError(f"axis_ranges names {called!r}, which is in no dynamic_axes")
            if not 1 <= least <= sides[called] <= most < _LONGEST_SIDE:
                raise ValueError(
                    f"the range of {called!r} is {least} to {most}; it must hold the shape's own "
                    f"{sides[called]}"
                )


@dataclass(frozen=True, slots=True)
class BenchmarkConfig:
    """Where Triton answers, and how many requests the measurement is of."""

    triton_url: str = "localhost:8001"  # host:port, of the protocol
    protocol: Protocol = "grpc"
    num_warmup_requests: int = 20
    num_requests: int = 200
    concurrency: int = 1  # requests in flight
    timeout_s: float = 10.0  # of each request

    def __post_init__(self) -> None:
        """Raise ValueError naming the field and what it may hold."""
        if self.protocol not in ("grpc", "http"):
            raise ValueError(f"protocol is {self.protocol!r}; it can be grpc or http")
        if "://" in self.triton_url or ":" not in self.triton_url:
            raise ValueError(
                f"triton_url is {self.triton_url!r}; write it as host:port, such as localhost:8001"
            )
        if self.num_warmup_requests < 0:
            raise ValueError(f"num_warmup_requests is {self.num_warmup_requests}; 0 is the least")
        for name, value in (("num_requests", self.num_requests), ("concurrency", self.concurrency)):
            if value < 1:
                raise ValueError(f"{name} is {value}; 1 is the least")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s is {self.timeout_s}; it must be above 0")

    def options(self) -> TritonOptions:
        """Return it as how a Triton is reached."""
        if self.protocol == "grpc":
            return TritonOptions(grpc_url=self.triton_url, timeout_s=self.timeout_s)
        return TritonOptions(http_url=self.triton_url, protocol="http", timeout_s=self.timeout_s)
