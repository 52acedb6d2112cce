"""TensorRT plans of any inputs: all up to the builder for real, the builder itself as a fake."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnx
import pytest

from sightline_engines import passport_check
from sightline_engines.convert import plan
from sightline_engines.convert.plan import can_build
from sightline_engines.device import nvidia_gpus
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.exporter import ExportConfig, build_trt_engine, create_exporter, trt_build
from sightline_engines.exporter.trt_build import profile_of
from sightline_engines.triton.config import read_config
from tests.engines.fake_builder import install
from tests.engines.fake_trt import VERSION, FakeTrt
from tests.engines.plan_source import GPU
from tests.triton.exported import PAIR, PICTURE, classifier, pair, pictures

TOKENS = {"tokens": (1, 16)}


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> FakeTrt:
    return install(monkeypatch, passport_check, plan, trt_build)


def exporter(folder: Path, module: Any, **words: Any) -> Any:
    """Return an exporter of a plan into a folder."""
    (folder / "repository").mkdir(exist_ok=True)
    places: dict[str, Any] = {"repository": folder / "repository", "output": folder / "out"}
    return create_exporter(module, "m", platform="tensorrt_plan", **places, **words)


@pytest.mark.parametrize(
    ("words", "profile"),
    [
        ({"input_shapes": {"x": (3,)}, "max_batch_size": 0}, {"x": ((3,), (3,), (3,))}),
        ({"input_shapes": {"x": (3,)}, "max_batch_size": 1}, {"x": ((1, 3), (1, 3), (1, 3))}),
        (
            {"axis_ranges": TOKENS, "max_batch_size": 4, **PAIR},
            {"ids": ((1, 1), (4, 7), (4, 16)), "dense": ((1, 8), (4, 8), (4, 8))},
        ),
    ],
)
def test_every_input_has_its_bounds(words: dict[str, Any], profile: dict[str, Any]) -> None:
    assert profile_of(ExportConfig("m", **words)) == profile


def test_a_module_of_two_inputs_becomes_a_plan_and_a_triton_model(
    tmp_path: Path, builder: FakeTrt
) -> None:
    made = exporter(tmp_path, pair(), workspace_size_gb=0.5, axis_ranges=TOKENS, **PAIR)
    exported = made.export_onnx()
    told = list[float]()
    built = made.optimize_tensorrt(lambda share, _: told.append(share))
    assert told == sorted(told)
    assert built.file.path == tmp_path / "out" / "m.plan"
    data = built.file.path.read_bytes()
    assert built.file.sha256 == hashlib.sha256(data).hexdigest()
    assert built.source_sha256 == exported.file.sha256
    assert (built.gpu, built.tensorrt) == (GPU.name, VERSION)
    config = builder.built["config"]
    assert config.limits == {"workspace": 2**29}
    assert [profile.shapes for profile in config.profiles] == [built.shapes]
    assert builder.built["network"].flags == 1 << 1  # strongly typed
    assert (tmp_path / "out" / "timing.cache").read_bytes() == b"measured"
    files = made.generate_triton_config()
    message = read_config(files.text)
    assert (message.platform, message.backend) == ("tensorrt_plan", "tensorrt")
    assert [list(one.dims) for one in message.input] == [[-1], [8]]
    assert files.model.path.name == "model.plan"
    assert files.model.sha256 == built.file.sha256


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_is_in_the_onnx_that_tensorrt_reads(
    tmp_path: Path, builder: FakeTrt, precision: str
) -> None:
    made = exporter(tmp_path, classifier(), precision=precision, input_shapes=PICTURE)
    made.calibration = pictures(8)
    made.export_onnx()
    assert made.optimize_tensorrt().precision == precision
    graph = builder.built["network"].model.graph
    if precision == "int8":
        assert "QuantizeLinear" in {node.op_type for node in graph.node}
    else:
        kinds = {tensor.data_type for tensor in graph.initializer}
        assert onnx.TensorProto.FLOAT16 in kinds


def test_what_tensorrt_can_not_take_is_told_and_nothing_is_left(
    tmp_path: Path, builder: FakeTrt
) -> None:
    made = exporter(tmp_path, pair(), **PAIR)
    path = made.export_onnx().file.path
    with pytest.raises(ModelFileError, match="least and the greatest side of tokens"):
        made.optimize_tensorrt()
    config = ExportConfig("m", axis_ranges=TOKENS, **PAIR)
    builder.no_plan = "Could not find any implementation"
    with pytest.raises(ModelFileError, match="Could not find any"):
        build_trt_engine(path, config, tmp_path / "m.plan")
    other = ExportConfig("m", input_shapes=PICTURE)
    with pytest.raises(ModelFileError, match="takes ids, dense, but input was asked for"):
        build_trt_engine(path, other, tmp_path / "m.plan")
    assert not (tmp_path / "m.plan").exists()


def test_int8_for_a_processor_is_not_given_to_tensorrt(tmp_path: Path, builder: FakeTrt) -> None:
    words: dict[str, Any] = {"precision": "int8", "input_shapes": PICTURE}
    made = create_exporter(classifier(), "m", output=tmp_path, **words)
    made.calibration = pictures(8)
    made.export_onnx()
    with pytest.raises(ModelFileError, match="Export the module again with the platform"):
        made.optimize_tensorrt()


def test_without_a_gpu_nothing_is_begun(tmp_path: Path) -> None:
    if nvidia_gpus():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ProviderError, match="can't be built here: no NVIDIA GPU"):
        build_trt_engine(tmp_path / "gone.onnx", ExportConfig("m"), tmp_path / "m.plan")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_plan_of_any_module_has_its_inputs_and_outputs(tmp_path: Path, precision: str) -> None:
    if can_build():
        pytest.skip(str(can_build()))
    import tensorrt

    for module, words in ((classifier(), {"input_shapes": PICTURE}), (pair(), PAIR)):
        ranges = {"axis_ranges": TOKENS} if words is PAIR else {}
        asked = {"precision": precision} if words is not PAIR else {}
        made = exporter(tmp_path, module, **asked, **ranges, **words)
        made.calibration = pictures(16) if words is not PAIR else None
        exported, built = made.export_onnx(), made.optimize_tensorrt()
        runtime = tensorrt.Runtime(tensorrt.Logger())
        engine = runtime.deserialize_cuda_engine(built.file.path.read_bytes())
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        ports = [port.name for port in (*exported.inputs, *exported.outputs)]
        assert sorted(names) == sorted(ports)
        assert engine.num_optimization_profiles == 1
