"""TensorRT on the GPU in numpy, as far as Sightline calls it: builder, plans, contexts.

A plan is a line of JSON; a network answers its raw values plus gain times the picture's mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx

from tests.engines.fake_cuda import FakeCuda

VERSION = "11.4.0.106"
_UINT8 = onnx.TensorProto.UINT8
REFUSED = {"Sub"}  # operators that the fake parser doesn't take


@dataclass
class FakeTrt:
    """What TensorRT does here, and the script of its failures."""

    cuda: FakeCuda
    fails_at: set[int] = field(default_factory=set)  # batch sizes for which there is no memory
    no_context: bool = False
    no_builder: bool = False
    no_plan: str = ""  # what the builder writes when it fails
    cache_fits: bool = True
    phases: tuple[tuple[str, str | None, int], ...] = (("build", None, 2), ("time", "build", 4))
    built: dict[str, Any] = field(default_factory=dict)  # what the builder was given
    touched: bool = False
    log: Any = None

    def module(self) -> ModuleType:
        """Return it as the module `tensorrt`."""
        module: Any = ModuleType("tensorrt")
        module.__version__ = VERSION
        module.ILogger = _Logger
        module.Logger = _Logger
        module.IProgressMonitor = object
        module.Runtime = lambda log: _Runtime(self, log)
        module.Builder = lambda log: _builder(self, log)
        module.OnnxParser = _Parser
        module.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        module.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)
        module.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        module.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        module.ProfilingVerbosity = SimpleNamespace(DETAILED=2)
        module.BuilderFlag = SimpleNamespace(TF32="tf32")
        module.LayerType = SimpleNamespace(SHAPE=0)
        module.nptype = np.dtype
        made: ModuleType = module
        return made


class _Logger:
    ERROR, INTERNAL_ERROR, WARNING, INFO, VERBOSE = 1, 0, 2, 3, 4

    def __init__(self) -> None:
        """Take nothing, as the real one."""


class _Runtime:
    def __init__(self, trt: FakeTrt, log: Any) -> None:
        trt.touched, trt.log = True, log
        self._trt = trt
        if trt.no_builder:
            _fail_to_start(log)

    def deserialize_cuda_engine(self, data: bytes) -> _Engine | None:
        try:
            return _Engine(self._trt, json.loads(data))
        except ValueError:
            self._trt.log.log(_Logger.WARNING, "this line is not an error")
            self._trt.log.log(_Logger.ERROR, "Serialization assertion failed")
            return None


class _Engine:
    def __init__(self, trt: FakeTrt, plan: dict[str, Any]) -> None:
        self.trt, self.plan = trt, plan
        self.names = [plan.get("input", "sightline_bgr"), "output0"]
        self.num_io_tensors = 2
        self.device_memory_size_v2 = plan.get("workspace", 1024)

    def get_tensor_name(self, index: int) -> str:
        return str(self.names[index])

    def get_tensor_mode(self, name: str) -> str:
        return "out" if name == "output0" else "in"

    def get_tensor_dtype(self, name: str) -> str:
        return str(self.plan.get("dtype", "float32")) if name == "output0" else "uint8"

    def get_tensor_shape(self, name: str) -> list[int]:
        fixed = self.plan["max"] if self.plan.get("static") else -1
        return [fixed, *(self.plan["raw_shape"] if name == "output0" else self.plan["picture"])]

    @property
    def _profiles(self) -> list[list[int]]:
        most = self.plan["max"]
        if self.plan.get("static"):
            return [[most, most, most]]
        profiles: list[list[int]] = self.plan.get("profiles", [[1, 1, 1], [2, most, most]])
        return profiles

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[list[int]]:
        return [[batch, *self.plan["picture"]] for batch in self._profiles[profile]]

    def create_execution_context(self, strategy: int) -> _Context | None:
        assert strategy == 2
        if self.trt.no_context:
            self.trt.log.log(_Logger.ERROR, "Cuda Runtime (out of memory)")
            return None
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine, self.trt = engine, engine.trt
        self.count = engine.plan["max"] if engine.plan.get("static") else 0
        self.memory = 0
        self.profile = -1  # none yet
        self.addresses: dict[str, int] = {}

    def set_device_memory(self, address: int, size: int) -> None:
        self.trt.cuda.at(address, size)
        self.memory = address

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert stream in self.trt.cuda.streams
        self.profile = profile
        return profile < self.engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile >= 0
        fits = list(shape[1:]) == self.engine.plan["picture"]
        self.count = shape[0]
        low, _, high = self.engine.get_tensor_profile_shape(name, self.profile)
        return fits and low[0] <= shape[0] <= high[0]

    def get_tensor_shape(self, name: str) -> list[int]:
        return [self.count, *self.engine.plan["raw_shape"]]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in self.engine.names

    def execute_async_v3(self, stream: int) -> bool:
        assert stream in self.trt.cuda.streams
        assert set(self.addresses) == set(self.engine.names)
        assert self.memory or not self.engine.device_memory_size_v2
        if self.count in self.trt.fails_at:
            self.trt.log.log(_Logger.ERROR, "[resources] Cuda Runtime (out of memory)")
            return False
        count, addresses = self.count, dict(self.addresses)
        self.trt.cuda.put(lambda: self._run(count, addresses))
        return True

    def _run(self, count: int, addresses: dict[str, int]) -> None:
        plan, cuda = self.engine.plan, self.trt.cuda
        size = int(np.prod(plan["picture"]))
        pictures = cuda.at(addresses[self.engine.names[0]], count * size).reshape(count, size)
        raw = np.array(plan["raw"], np.float64).reshape(plan["raw_shape"])
        means = pictures.mean(axis=1).reshape(-1, 1, 1) / 255
        answer = (raw[None] + plan.get("gain", 0) * means).astype(plan.get("dtype", "float32"))
        cuda.at(addresses["output0"], answer.nbytes)[:] = answer.view(np.uint8).reshape(-1)


# --- the builder ----------------------------------------------------------------------------


def _builder(trt: FakeTrt, log: Any) -> _Builder:
    trt.touched, trt.log = True, log
    if trt.no_builder:
        _fail_to_start(log)
    return _Builder(trt)


def _fail_to_start(log: Any) -> None:
    log.log(_Logger.ERROR, "CUDA initialization failure with error: 35")
    raise TypeError("pybind11::init(): factory function returned nullptr")


class _Cache:
    def __init__(self, lines: set[bytes]) -> None:
        self.lines = lines

    def combine(self, other: _Cache, ignore_mismatch: bool) -> bool:
        self.lines |= other.lines
        return True

    def serialize(self) -> bytes:
        return b"\n".join(sorted(self.lines))


class _Config:
    def __init__(self, trt: FakeTrt) -> None:
        self._trt = trt
        self.limits: dict[str, int] = {}
        self.profiles: list[_Profile] = []
        self.progress_monitor: Any = None
        self.profiling_verbosity: Any = None
        self.cleared: list[str] = []
        self.cache: _Cache | None = None

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def create_timing_cache(self, data: bytes) -> _Cache:
        if data.startswith(b"damaged"):
            raise TypeError("factory function returned nullptr")
        return _Cache(set(data.split(b"\n")) - {b""})

    def set_timing_cache(self, cache: _Cache, ignore_mismatch: bool) -> bool:
        if cache.lines and not self._trt.cache_fits:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> _Cache | None:
        return self.cache


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(
        self, name: str, low: tuple[int, ...], best: tuple[int, ...], high: tuple[int, ...]
    ) -> None:
        self.shapes[name] = (tuple(low), tuple(best), tuple(high))

    def __bool__(self) -> bool:
        return bool(self.shapes)


class _Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.model = onnx.ModelProto()

    @property
    def num_inputs(self) -> int:
        return len(self.model.graph.input)

    def get_input(self, index: int) -> Any:
        value = self.model.graph.input[index]
        kind = value.type.tensor_type
        dims = [d.dim_value or -1 for d in kind.shape.dim]
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        return SimpleNamespace(name=value.name, shape=dims, is_shape_tensor=False, dtype=dtype)

    def __iter__(self) -> Any:
        return iter(())


class _Parser:
    def __init__(self, network: _Network, log: Any) -> None:
        self._network = network
        self.num_errors = 0

    def parse(self, data: bytes) -> bool:
        self._network.model.ParseFromString(data)
        onnx.checker.check_model(self._network.model, full_check=True)
        graph = self._network.model.graph
        unknown = [n.op_type for n in graph.node if n.op_type in REFUSED]
        # Nothing but a Cast may read bytes, not even a Transpose (DataType.UINT8 in its API).
        bytes_in = {v.name for v in graph.input if v.type.tensor_type.elem_type == _UINT8}
        unknown += [
            n.op_type for n in graph.node if bytes_in.intersection(n.input) and n.op_type != "Cast"
        ]
        self.num_errors = len(unknown)
        self._unknown = unknown
        return not unknown

    def get_error(self, index: int) -> Any:
        op = self._unknown[index]
        told = {"node_operator": op, "node_name": "head", "desc": "No importer registered"}
        return SimpleNamespace(**{name: lambda text=text: text for name, text in told.items()})


class _Builder:
    def __init__(self, trt: FakeTrt) -> None:
        self._trt = trt

    def create_network(self, flags: int) -> _Network:
        return _Network(flags)

    def create_builder_config(self) -> _Config:
        return _Config(self._trt)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        trt, monitor = self._trt, config.progress_monitor
        trt.built |= {"network": network, "config": config}
        for name, parent, steps in trt.phases:
            monitor.phase_start(name, parent, steps)
        for name, _, steps in reversed(trt.phases):
            for step in range(steps):
                if not monitor.step_complete(name, step):
                    return None
            monitor.phase_finish(name)
        if trt.no_plan:
            trt.log.log(_Logger.ERROR, trt.no_plan)
            return None
        assert config.cache is not None
        config.cache.lines.add(b"measured")
        inputs = {value.name for value in network.model.graph.input}
        assert all(set(profile.shapes) == inputs for profile in config.profiles)
        shapes = [next(iter(profile.shapes.values())) for profile in config.profiles]
        low, high = shapes[0][0], shapes[-1][2]
        dims = network.model.graph.output[0].type.tensor_type.shape.dim
        rows = [d.dim_value for d in dims][1:]
        plan = {"max": high[0], "static": low[0] == high[0] > 1, "picture": list(high[1:])}
        plan["profiles"] = [[shape[0] for shape in bounds] for bounds in shapes]
        raw = [0.0] * int(np.prod(rows))
        return json.dumps({**plan, "raw_shape": rows, "raw": raw}).encode()
