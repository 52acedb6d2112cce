"""TensorRT's builder and runtime as fakes, put where the real ones would be imported from."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

from sightline_engines import trt_memory
from tests.conftest import missing
from tests.engines.fake_cuda import FakeCuda
from tests.engines.fake_trt import VERSION, FakeTrt
from tests.engines.plan_source import GPU

_TRT = FakeTrt(FakeCuda())  # one for all tests: Polygraphy keeps the module that it first imports
_MODULE = _TRT.module()


def install(monkeypatch: pytest.MonkeyPatch, *users: ModuleType) -> FakeTrt:
    """Let a machine have a GPU and TensorRT, as far as the named modules look."""
    if find_spec("polygraphy") is None:
        missing("polygraphy")
    fresh = FakeTrt(FakeCuda())
    for name in ("cuda", "fails_at", "no_builder", "no_plan", "cache_fits", "built", "touched"):
        setattr(_TRT, name, getattr(fresh, name))
    _TRT.phases = fresh.phases
    monkeypatch.setitem(sys.modules, "tensorrt", _MODULE)
    for module in users:
        for name, answer in (
            ("tensorrt_version", lambda: VERSION),
            ("missing_tensorrt", lambda: None),
            ("read_gpu", lambda place=0: GPU),
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, answer)
    monkeypatch.setattr(trt_memory, "cuda_runtime", lambda: _TRT.cuda)
    return _TRT
