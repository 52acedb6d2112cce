"""Building plans: all up to TensorRT's builder for real, the builder itself as a fake."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest

from sightline_engines import passport_check, trt, trt_memory
from sightline_engines.convert import plan as building
from sightline_engines.convert.convert import convert
from sightline_engines.convert.options import ConvertOptions, Precision
from sightline_engines.convert.plan import build_plan, can_build, plan_input, typed_source
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.device import Gpu, nvidia_gpus
from sightline_engines.errors import EngineMemoryError, ModelFileError, ProviderError
from sightline_engines.graph import INPUT_NAME
from sightline_engines.load import load_engine
from sightline_engines.picture import encode_as
from sightline_engines.recognise import recognise
from sightline_engines.types import Format, ModelSpec
from tests.conftest import missing
from tests.engines.fake_cuda import FakeCuda
from tests.engines.fake_trt import VERSION, FakeTrt
from tests.engines.tiny import constant_model, random_raw
from tests.engines.tiny_conv import conv_model

GPU = Gpu("NVIDIA X", "9.0", "580.65.06")
PLAN = ConvertOptions(Format.TENSORRT)


def model(tmp_path: Path, batch: int | str = "n", op: str = "") -> ModelSpec:
    raw = random_raw("yolov8", 2)
    path = constant_model(tmp_path / "m.onnx", raw, batch=batch, gain=np.ones_like(raw), opset=17)
    if op:
        changed = onnx.load(path)
        changed.graph.node[-1].op_type = op
        onnx.save(changed, path)
    return recognise(path)


# --- before the builder ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "largest", "profiles"),
    [("n", 0, ((1, 1, 1),)), ("n", 1, ((1, 1, 1),)), ("n", 2, ((1, 1, 1), (2, 2, 2))),
     ("n", 8, ((1, 1, 1), (2, 8, 8))), (1, 8, ((1, 1, 1),)), (3, 8, ((3, 3, 3),))],
)  # fmt: skip
def test_one_picture_has_a_profile_and_several_have_another(
    tmp_path: Path, batch: int | str, largest: int, profiles: tuple[tuple[int, int, int], ...]
) -> None:
    spec = model(tmp_path, batch)
    _, shapes = plan_input(spec, replace(PLAN, max_batch=largest))
    assert shapes.profiles == profiles
    assert shapes.input_shape(profiles[-1][2]) == (profiles[-1][2], 64, 64, 3)


@pytest.mark.parametrize("batch", [1, "n"])
def test_what_tensorrt_is_to_read_is_sound_onnx_with_pictures_as_its_input(
    tmp_path: Path, batch: int | str
) -> None:
    graph, _ = plan_input(model(tmp_path, batch), PLAN)
    read = onnx.load_from_string(graph)
    onnx.checker.check_model(read, full_check=True)
    (port,) = read.graph.input
    assert port.name == INPUT_NAME
    assert port.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    # TensorRT lets nothing else read bytes.
    assert [n.op_type for n in read.graph.node if INPUT_NAME in n.input] == ["Cast"]
    inferred = onnx.shape_inference.infer_shapes(read, strict_mode=True, data_prop=True)
    assert [d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim][1:] == [6, 84]


def test_a_model_of_the_asked_precision_is_taken_as_it_is(tmp_path: Path) -> None:
    spec = model(tmp_path)
    assert typed_source(spec, PLAN, [], tmp_path) == spec
    half = replace(spec, precision="fp16")
    assert typed_source(half, replace(PLAN, precision="fp16"), [], tmp_path) == half


def drawn(folder: Path) -> list[Path]:
    paths = [folder / f"{number}.jpg" for number in range(4)]
    for path, image in zip(paths, rendered_pictures(4), strict=True):
        path.write_bytes(encode_as(image, ".jpg"))
    return paths


def test_int8_with_zero_points_is_not_given_to_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_engines.convert.convert.check_parity", lambda *_: None)
    source = recognise(conv_model(tmp_path / "conv.onnx"))
    for_processors = ConvertOptions(Format.ONNX, "int8")
    made = convert(source, for_processors, drawn(tmp_path), tmp_path / "made").spec
    with pytest.raises(ModelFileError, match=r"zero points other than 0 .*fp32 ONNX"):
        plan_input(made, replace(PLAN, precision="int8"))


def test_int8_needs_pictures(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="Name a data set"):
        typed_source(model(tmp_path), replace(PLAN, precision="int8"), [], tmp_path)


def test_another_size_is_in_the_onnx_that_tensorrt_is_to_read(tmp_path: Path) -> None:
    source = recognise(conv_model(tmp_path / "conv.onnx"))
    options = replace(PLAN, input_size_wh=(96, 64))
    typed = typed_source(source, options, [], tmp_path / "typed")
    graph, shapes = plan_input(typed, options)
    assert shapes.input_shape(8) == (8, 64, 96, 3)
    dims = onnx.load_from_string(graph).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims][1:] == [64, 96, 3]


def test_a_precision_is_not_made_of_another_than_fp32(tmp_path: Path) -> None:
    spec = replace(model(tmp_path), precision="int8")
    with pytest.raises(ModelFileError, match="is int8 already; make fp16"):
        typed_source(spec, replace(PLAN, precision="fp16"), [], tmp_path)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_is_in_the_onnx_that_tensorrt_is_to_read(
    tmp_path: Path, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawn pictures calibrate nothing well: what is looked at here is the graph.
    monkeypatch.setattr("sightline_engines.convert.convert.check_parity", lambda *_: None)
    source, pictures = recognise(conv_model(tmp_path / "conv.onnx")), drawn(tmp_path)
    options = replace(PLAN, precision=precision)
    typed = typed_source(source, options, pictures, tmp_path)
    assert typed.precision == precision
    graph, _ = plan_input(typed, options)
    read = onnx.load_from_string(graph)
    onnx.checker.check_model(read, full_check=True)
    kinds = {t.name: t.data_type for t in read.graph.initializer}
    if precision == "fp16":
        weighted = [n.input[1] for n in read.graph.node if n.op_type == "Conv"]
        assert {kinds[name] for name in weighted} == {onnx.TensorProto.FLOAT16}
    else:
        ops = [node.op_type for node in read.graph.node]
        assert "QuantizeLinear" in ops
        read_by = [n.input for n in read.graph.node if n.op_type == "DequantizeLinear"]
        assert onnx.TensorProto.INT32 not in {kinds.get(names[0]) for names in read_by}
        zeros = {t.name: onnx.numpy_helper.to_array(t) for t in read.graph.initializer}
        assert all(not zeros[names[2]].any() for names in read_by if names[2:] and names[2])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    width, height = typed.input_size_wh
    (answer,) = session.run(None, {INPUT_NAME: np.zeros((2, height, width, 3), np.uint8)})
    assert np.isfinite(answer).all()


def test_without_a_gpu_nothing_is_begun(tmp_path: Path) -> None:
    if nvidia_gpus():
        pytest.skip("this machine has a GPU")
    assert "no NVIDIA GPU is seen" in str(can_build())
    told: list[float] = []
    with pytest.raises(ProviderError, match=r"can't be built here: no NVIDIA GPU"):
        build_plan(model(tmp_path), PLAN, [], tmp_path, lambda share, doing: told.append(share))
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    ("version", "said"), [("11.4.0.106", None), ("10.3.0", None), ("8.6.1", "8.6.1 is too old")]
)
def test_tensorrt_10_and_11_build_and_older_ones_do_not(
    monkeypatch: pytest.MonkeyPatch, version: str, said: str | None
) -> None:
    monkeypatch.setattr(building, "missing_tensorrt", lambda: None)
    monkeypatch.setattr(building, "tensorrt_version", lambda: version)
    monkeypatch.setattr(building, "find_spec", lambda name: SimpleNamespace())
    found = can_build()
    assert found is None if said is None else said in str(found)


def test_polygraphy_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "missing_tensorrt", lambda: None)
    monkeypatch.setattr(building, "tensorrt_version", lambda: VERSION)
    monkeypatch.setattr(building, "find_spec", lambda name: None)
    assert "polygraphy isn't installed" in str(can_build())


# --- the whole way, with Polygraphy itself and a fake builder --------------------------------


_CUDA = FakeCuda()
_TRT = FakeTrt(_CUDA)  # one for all tests: Polygraphy keeps the module that it first imports
_MODULE = _TRT.module()


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> FakeTrt:
    """Let this machine have a GPU and TensorRT."""
    if find_spec("polygraphy") is None:
        missing("polygraphy")
    fresh = FakeTrt(FakeCuda())
    for name in ("cuda", "fails_at", "no_builder", "no_plan", "cache_fits", "built", "touched"):
        setattr(_TRT, name, getattr(fresh, name))
    _TRT.phases = fresh.phases
    monkeypatch.setitem(sys.modules, "tensorrt", _MODULE)
    for module in (passport_check, building):
        monkeypatch.setattr(module, "tensorrt_version", lambda: VERSION)
        monkeypatch.setattr(module, "missing_tensorrt", lambda: None, raising=False)
        monkeypatch.setattr(module, "read_gpu", lambda place=0: GPU)
    monkeypatch.setattr(trt, "missing_tensorrt", lambda: None)
    monkeypatch.setattr(trt, "read_gpu", lambda place=0: GPU)
    monkeypatch.setattr(trt_memory, "cuda_runtime", lambda: _TRT.cuda)
    return _TRT


def test_a_plan_is_built_with_its_passport_and_loads(tmp_path: Path, builder: FakeTrt) -> None:
    source = model(tmp_path)
    told: list[tuple[float, str]] = []
    made = build_plan(source, PLAN, [], tmp_path, lambda share, doing: told.append((share, doing)))
    assert (made.path.name, made.format, made.precision) == (
        "m-fp32.plan", Format.TENSORRT, "fp32",
    )  # fmt: skip
    passport = made.passport
    assert passport is not None
    digest = hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert passport.plan_sha256 == made.sha256 == digest
    assert passport.source_sha256 == hashlib.sha256(source.path.read_bytes()).hexdigest()
    assert (passport.gpu, passport.tensorrt, passport.driver) == (GPU.name, VERSION, GPU.driver)
    assert (passport.min_batch, passport.opt_batch, passport.max_batch) == (1, 8, 8)
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1] == (1.0, "done")
    assert any("time, 2 of 4" in doing for _, doing in told)
    engine = load_engine(made)
    assert engine.infer(np.zeros((5, 64, 64, 3), np.uint8))[0].shape == (5, 6, 84)
    engine.close()
    assert builder.cuda.held() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-fp32.plan", "m.onnx"]


def test_int8_goes_the_whole_way_and_says_which_pictures_it_could_not_read(
    tmp_path: Path, builder: FakeTrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_engines.convert.convert.check_parity", lambda *_: None)
    source = recognise(conv_model(tmp_path / "conv.onnx"))
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    folder, told = tmp_path / "made", list[float]()
    options = replace(PLAN, precision="int8", input_size_wh=(96, 64))
    made = convert(
        source, options, [*drawn(tmp_path), bad], folder, lambda share, _: told.append(share)
    )
    spec = made.spec
    assert (spec.path.name, spec.precision, spec.input_size_wh) == (
        "conv-int8.plan", "int8", (96, 64),
    )  # fmt: skip
    assert spec.passport is not None
    assert spec.passport.input_size_wh == (96, 64)
    unreadable, few = made.notes
    assert "1 of 5 pictures can't be read: bad.jpg" in unreadable
    assert "few pictures (4)" in few
    assert told == sorted(told)
    assert [path.name for path in folder.iterdir()] == ["conv-int8.plan"]


def test_the_builder_gets_a_strongly_typed_network_two_profiles_and_a_limit(
    tmp_path: Path, builder: FakeTrt
) -> None:
    build_plan(model(tmp_path), replace(PLAN, workspace_bytes=123), [], tmp_path)
    network, config = builder.built["network"], builder.built["config"]
    assert network.flags == 1 << 1
    assert config.limits == {"workspace": 123}
    one, most = (1, 64, 64, 3), (8, 64, 64, 3)
    shapes = [(one, one, one), ((2, 64, 64, 3), most, most)]
    assert [profile.shapes for profile in config.profiles] == [{INPUT_NAME: s} for s in shapes]
    assert config.cleared == ["tf32"]


def test_the_timing_cache_is_read_joined_and_written(tmp_path: Path, builder: FakeTrt) -> None:
    cache = tmp_path / "cache" / "timing.bin"
    options = replace(PLAN, timing_cache=cache)
    build_plan(model(tmp_path), options, [], tmp_path)
    assert cache.read_bytes() == b"measured"
    cache.write_bytes(b"another's")
    build_plan(model(tmp_path), options, [], tmp_path)
    assert cache.read_bytes() == b"another's\nmeasured"


@pytest.mark.parametrize(("content", "fits"), [(b"damaged", True), (b"another GPU's", False)])
def test_a_cache_that_cannot_be_used_costs_time_alone(
    tmp_path: Path, builder: FakeTrt, content: bytes, fits: bool
) -> None:
    cache = tmp_path / "timing.bin"
    cache.write_bytes(content)
    builder.cache_fits = fits
    made = build_plan(model(tmp_path), replace(PLAN, timing_cache=cache), [], tmp_path)
    assert made.path.is_file()
    assert b"measured" in cache.read_bytes()


def test_a_cache_that_cannot_be_written_costs_the_next_build_time_alone(
    tmp_path: Path, builder: FakeTrt
) -> None:
    (tmp_path / "full").write_text("a file where a folder should be")
    options = replace(PLAN, timing_cache=tmp_path / "full" / "timing.bin")
    assert build_plan(model(tmp_path), options, [], tmp_path).path.is_file()


def test_an_operator_that_tensorrt_does_not_know_is_named(tmp_path: Path, builder: FakeTrt) -> None:
    with pytest.raises(ModelFileError, match=r"can't take m\.onnx: Sub 'head': No importer"):
        build_plan(model(tmp_path, op="Sub"), PLAN, [], tmp_path)
    assert not list(tmp_path.glob("*.plan"))


@pytest.mark.parametrize(
    ("wrote", "kind", "said"),
    [
        ("Could not find any implementation", ModelFileError, "Could not find any"),
        ("Requested amount of GPU memory: out of memory", EngineMemoryError, "out of memory"),
    ],
)
def test_a_builder_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, builder: FakeTrt, wrote: str, kind: type[Exception], said: str
) -> None:
    builder.no_plan = wrote
    with pytest.raises(kind, match=said):
        build_plan(model(tmp_path), PLAN, [], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_builder_that_does_not_start_is_a_provider_error(
    tmp_path: Path, builder: FakeTrt
) -> None:
    builder.no_builder = True
    with pytest.raises(ProviderError, match="CUDA initialization failure"):
        build_plan(model(tmp_path), PLAN, [], tmp_path)


def test_a_listener_that_is_gone_ends_the_build(tmp_path: Path, builder: FakeTrt) -> None:
    def gone(share: float, doing: str) -> None:
        if "time" in doing:
            raise BrokenPipeError("the server is gone")

    with pytest.raises(BrokenPipeError):
        build_plan(model(tmp_path), PLAN, [], tmp_path, gone)
    assert not list(tmp_path.glob("*.plan"))


def test_a_plan_is_not_built_of_a_plan(tmp_path: Path, builder: FakeTrt) -> None:
    spec = replace(model(tmp_path), path=tmp_path / "m.plan")
    with pytest.raises(ModelFileError, match="is built from ONNX"):
        build_plan(spec, PLAN, [], tmp_path)


# --- on a GPU -------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [1, 3, "n"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_plan_answers_as_its_source_does(
    tmp_path: Path, batch: int | str, precision: Precision
) -> None:
    if can_build():
        pytest.skip(str(can_build()))
    from sightline_engines.convert.parity import check_parity

    source = model(tmp_path, batch)
    options = replace(PLAN, precision=precision, timing_cache=tmp_path / "timing.bin")
    made = build_plan(source, options, [], tmp_path)
    again = build_plan(source, options, [], tmp_path)  # with the cache, in the place of the first
    assert again.path == made.path
    on_gpu, on_cpu = load_engine(again), load_engine(source, "onnxruntime", device="cpu")
    tensor = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    for count in (1, 2, 8, 9, 1):  # a swap from graph to graph
        np.testing.assert_allclose(
            on_gpu.infer(tensor[:count])[0], on_cpu.infer(tensor[:count])[0], rtol=2e-2, atol=2e-2
        )
    on_gpu.close()
    on_cpu.close()
    assert check_parity(source, again, []).agreeing > 0.99
