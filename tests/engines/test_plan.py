"""Building plans: all up to TensorRT's builder for real, the builder itself as a fake."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sightline_engines import passport_check, trt
from sightline_engines.convert import plan as building
from sightline_engines.convert.convert import convert
from sightline_engines.convert.options import Precision
from sightline_engines.convert.plan import build_plan, can_build
from sightline_engines.device import nvidia_gpus
from sightline_engines.errors import EngineMemoryError, ModelFileError, ProviderError
from sightline_engines.graph import INPUT_NAME
from sightline_engines.load import load_engine
from sightline_engines.recognise import recognise
from sightline_engines.types import Format
from tests.engines.fake_builder import install
from tests.engines.fake_trt import VERSION, FakeTrt
from tests.engines.plan_source import GPU, PLAN, drawn, model
from tests.engines.tiny_conv import conv_model


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


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> FakeTrt:
    """Let this machine have a GPU and TensorRT."""
    return install(monkeypatch, passport_check, building, trt)


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
