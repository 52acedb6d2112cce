"""A plan's passport: what differs is named, and nothing of TensorRT is touched to find out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_engines import passport_check
from sightline_engines.device import Gpu, nvidia_gpus, read_gpu
from sightline_engines.passport import Passport
from sightline_engines.passport_check import missing_tensorrt, passport_problem
from sightline_engines.types import Family, ModelSpec

GPU = Gpu("NVIDIA X", "9.0", "580.65.06")
PLAN = b"a plan"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    monkeypatch.setattr(passport_check, "read_gpu", lambda place=0: GPU)
    monkeypatch.setattr(passport_check, "tensorrt_version", lambda: "11.4.0.106")
    path = tmp_path / "m.plan"
    path.write_bytes(PLAN)
    digest = hashlib.sha256(PLAN).hexdigest()
    passport = Passport(
        "NVIDIA X", "9.0", "11.4.0.106", "580.65.06", "0" * 64, digest, 1, 4, 8, (64, 64)
    )
    return ModelSpec("m", path, Family.YOLOV8, (64, 64), ("a",), passport=passport)


def altered(spec: ModelSpec, **fields: object) -> ModelSpec:
    assert spec.passport is not None
    return replace(spec, passport=replace(spec.passport, **fields))  # type: ignore[arg-type]


def test_a_plan_where_it_was_built_has_no_problem(spec: ModelSpec) -> None:
    assert passport_problem(spec) is None
    assert passport_problem(spec, source_sha256="0" * 64) is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("gpu", "NVIDIA Y", "GPU NVIDIA Y, here NVIDIA X"),
        ("compute_capability", "8.6", "compute capability 8.6, here 9.0"),
        ("tensorrt", "10.16.1.11", "TensorRT 10.16.1.11, here 11.4.0.106"),
        ("driver", "570.1", "driver 570.1, here 580.65.06"),
        ("plan_sha256", "1" * 64, "its hash differs"),
    ],
)
def test_each_field_that_differs_bars_the_plan_and_is_named(
    spec: ModelSpec, field: str, value: str, said: str
) -> None:
    problem = passport_problem(altered(spec, **{field: value}))
    assert problem is not None
    assert said in problem
    assert "convert it to tensorrt" in problem


@pytest.mark.parametrize(
    ("field", "value"),
    [("min_batch", 2), ("opt_batch", 2), ("max_batch", 99), ("input_size_wh", (32, 32))],
)
def test_shapes_bar_nothing(spec: ModelSpec, field: str, value: object) -> None:
    assert passport_problem(altered(spec, **{field: value})) is None


def test_every_field_of_a_passport_is_compared_or_is_a_shape() -> None:
    shapes = {"min_batch", "opt_batch", "max_batch", "input_size_wh"}
    compared = {"gpu", "compute_capability", "tensorrt", "driver", "plan_sha256", "source_sha256"}
    assert {field for field in Passport.__dataclass_fields__} == shapes | compared


def test_another_source_bars_the_plan(spec: ModelSpec) -> None:
    assert "another ONNX file" in str(passport_problem(spec, source_sha256="f" * 64))


def test_a_plan_without_a_passport_was_made_elsewhere(spec: ModelSpec) -> None:
    assert "made elsewhere" in str(passport_problem(replace(spec, passport=None)))


def test_a_plan_that_is_gone_is_a_problem_and_no_traceback(spec: ModelSpec) -> None:
    spec.path.unlink()
    assert "can't be read" in str(passport_problem(spec))


def test_a_machine_without_a_gpu_says_so(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passport_check, "read_gpu", lambda place=0: None)
    monkeypatch.setattr(passport_check, "nvidia_gpus", lambda: ())
    assert "no NVIDIA GPU is seen" in str(passport_problem(spec))


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        (set(), None),
        ({"pynvml"}, "nvidia-ml-py"),
        ({"tensorrt"}, "TensorRT isn't installed"),
        ({"cuda.cudart"}, None),
        ({"cuda.bindings.runtime"}, None),
        ({"cuda.cudart", "cuda.bindings.runtime"}, "cuda-python isn't installed"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, absent: set[str], said: str | None
) -> None:
    monkeypatch.setattr(passport_check, "nvidia_gpus", lambda: ("NVIDIA X",))
    monkeypatch.setattr(passport_check, "read_gpu", lambda place=0: GPU)
    monkeypatch.setattr(passport_check, "tensorrt_version", lambda: "11.4.0.106")
    monkeypatch.setattr(passport_check, "_installed", lambda module: module not in absent)
    found = missing_tensorrt()
    assert found is None if said is None else said in str(found)


def test_a_passport_survives_being_written(spec: ModelSpec) -> None:
    assert spec.passport is not None
    assert Passport.from_dict(spec.passport.to_dict()) == spec.passport


def test_without_a_driver_there_is_no_gpu_to_read() -> None:
    if nvidia_gpus():
        pytest.skip("this machine has a GPU")
    assert read_gpu() is None
    assert read_gpu("0000:01:00.0") is None


@pytest.mark.gpu
def test_a_real_gpu_tells_its_name_capability_and_driver() -> None:
    if not nvidia_gpus():
        pytest.skip("no NVIDIA GPU")
    gpu = read_gpu()
    assert gpu is not None
    assert gpu.name == nvidia_gpus()[0]
    assert float(gpu.compute_capability) > 0
    assert gpu.driver[0].isdigit()
