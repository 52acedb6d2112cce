"""The engine triton against a real server: the same boxes as the engine of this machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline_engines.convert.parity import iou_matrix
from sightline_engines.device import CPU
from sightline_engines.errors import EngineAwayError, EngineError, ProviderError
from sightline_engines.load import load_engine
from sightline_engines.onnxrt import OnnxRuntimeEngine, load_onnxruntime
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import DetectOptions, default_options, detect
from sightline_engines.triton import pictures as by_picture
from sightline_engines.triton.client import Client
from sightline_engines.triton.engine import TritonEngine, _Target, load_triton
from sightline_engines.triton.errors import ModelGoneError, late
from sightline_engines.triton.options import Protocol, Transport, TritonOptions
from sightline_engines.triton.port import Port
from sightline_engines.triton.remote import PictureAnswer, PictureRefusal, RemoteEngine
from sightline_engines.triton.shared_memory import FOLDER
from sightline_engines.triton.standby import missing_at
from sightline_engines.triton.tensors import Message
from sightline_engines.types import Detections, Family, Tensor
from tests.fakes import SPEC
from tests.triton.at_triton import AtTriton, at_triton
from tests.triton.environment import TritonEnvironment

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
BY_HAND = """
backend: "onnxruntime"
max_batch_size: 4
input [{name: "images" data_type: TYPE_FP32 dims: [3, 416, 416]}]
output [{name: "output" data_type: TYPE_FP32 dims: [-1, -1]}]
instance_group [{kind: KIND_CPU}]
"""


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtTriton]:
    with at_triton(triton_environment, tmp_path_factory.mktemp("triton")) as running:
        by_hand = running.folder / "by-hand"
        (by_hand / "1").mkdir(parents=True)
        shutil.copy(running.spec.path, by_hand / "1" / "model.onnx")
        (by_hand / "config.pbtxt").write_text(BY_HAND)
        running.load(pictures=True)
        running.client.load("by-hand")
        yield running


@pytest.fixture(scope="module")
def local(triton: AtTriton) -> Iterator[OnnxRuntimeEngine]:
    engine = load_onnxruntime(triton.spec, CPU, threads=1)
    yield engine
    engine.close()


@contextmanager
def engine_of(triton: AtTriton, **options: object) -> Iterator[TritonEngine]:
    engine = load_triton(triton.spec, triton.options(**options))
    try:
        yield engine
    finally:
        engine.close()


def batch(size: int) -> Tensor:
    return np.random.default_rng(size).integers(0, 256, (size, 416, 416, 3)).astype(np.uint8)


def faces(shared_data: Path) -> list[bytes]:
    files = sorted((shared_data / "faces").rglob("*.jpg"))[:6]
    return [file.read_bytes() for file in files]


def assert_same_boxes(found: Sequence[Detections], wanted: Sequence[Detections]) -> None:
    assert sum(map(len, wanted)) > 0
    for one, other in zip(found, wanted, strict=True):
        assert one.class_id.tolist() == other.class_id.tolist()
        if len(one):
            assert np.diagonal(iou_matrix(one.xyxy, other.xyxy)).min() >= 0.99
        assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.parametrize("transport", ["tensors", "system_shm"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_finds_the_same_boxes_as_the_local_engine(
    triton: AtTriton,
    local: OnnxRuntimeEngine,
    shared_data: Path,
    protocol: Protocol,
    transport: Transport,
) -> None:
    images = [decode_picture(one, PictureLimits()) for one in faces(shared_data)]
    options = [default_options(triton.spec)] * len(images)
    with engine_of(triton, protocol=protocol, transport=transport) as engine:
        found, _ = detect(engine, images, options)
    assert_same_boxes(found, detect(local, images, options)[0])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pictures_that_go_as_they_are_give_the_same_boxes(
    triton: AtTriton, local: OnnxRuntimeEngine, shared_data: Path, protocol: Protocol
) -> None:
    pictures = faces(shared_data)
    options = [DetectOptions(0.3, 0.4, None, 5), *[default_options(triton.spec)] * 5]
    with engine_of(triton, protocol=protocol, transport="pictures") as engine:
        found = engine.detect_pictures(pictures, options)
    assert found is not None
    answers = [one for one in found if isinstance(one, PictureAnswer)]
    images = [decode_picture(one, PictureLimits()) for one in pictures]
    assert [one.size_wh for one in answers] == [image.shape[1::-1] for image in images]
    assert_same_boxes([one.detections for one in answers], detect(local, images, options)[0])


def test_a_bad_picture_fails_alone_and_each_has_its_own_classes(
    triton: AtTriton, shared_data: Path
) -> None:
    picture = faces(shared_data)[0]
    plain = default_options(triton.spec)
    options = [plain, *(replace(plain, classes=frozenset(ids)) for ids in ((), (1,)))]
    with engine_of(triton, transport="pictures") as engine:
        found = engine.detect_pictures([b"no picture", picture, picture], options)
    assert found is not None
    bad, none, some = found
    assert isinstance(bad, PictureRefusal)
    assert bad.code == "unsupported_format"
    assert isinstance(none, PictureAnswer)
    assert not len(none.detections)
    assert isinstance(some, PictureAnswer)
    assert set(some.detections.class_id.tolist()) <= {1}


def steps_that(engine: TritonEngine, error: EngineError, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the Python steps fail, while the model behind them is well."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(by_picture, "ask", fail)


def test_while_the_steps_hang_pictures_go_as_tensors(
    triton: AtTriton, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, options = faces(shared_data)[0], default_options(triton.spec)
    with engine_of(triton, transport="pictures") as engine:
        steps_that(engine, late("there:8001", 1.99), monkeypatch)
        assert engine.detect_pictures([picture], [options]) is None
        assert engine.trouble is None
        assert [call.result for call in engine.take_calls()] == ["away"]
        assert len(engine.infer(batch(1))[0]) == 1
        assert engine.detect_pictures([picture], [options]) is None
        assert [call.result for call in engine.take_calls()] == ["ok"]  # it wasn't even tried


def test_while_the_steps_are_dead_pictures_go_as_tensors_and_then_as_they_are_again(
    triton: AtTriton, shared_data: Path
) -> None:
    picture, options = faces(shared_data)[0], default_options(triton.spec)
    step = triton.deployment.preprocess
    assert step is not None
    with engine_of(triton, transport="pictures") as engine:
        assert engine.detect_pictures([picture], [options]) is not None
        triton.kill(step)
        assert engine.detect_pictures([picture], [options]) is None
        assert engine.trouble is None
        assert len(engine.infer(batch(1))[0]) == 1
        triton.reload(step)
        while engine.detect_pictures([picture], [options]) is None:
            time.sleep(0.1)


@pytest.mark.parametrize("transport", ["tensors", "system_shm"])
@pytest.mark.parametrize("size", [1, 8, 11])
def test_any_batch_is_answered_to_the_bit_in_as_many_requests_as_it_takes(
    triton: AtTriton, local: OnnxRuntimeEngine, transport: Transport, size: int
) -> None:
    tensor = batch(size)
    with engine_of(triton, transport=transport) as engine:
        (found,) = engine.infer(tensor)
    np.testing.assert_allclose(found, local.infer(tensor)[0], atol=1e-5)


def test_it_names_the_server_and_the_call(triton: AtTriton) -> None:
    with engine_of(triton) as engine:
        assert isinstance(engine, RemoteEngine)
        assert engine.served.engine == "triton"
        assert engine.served.device == f"Triton {triton.server.grpc_url}"
        assert engine.trouble is None
        engine.infer(batch(1))
        (call,) = engine.take_calls()
        assert (call.result, call.seconds > 0) == ("ok", True)
        assert engine.take_calls() == ()
        assert engine.detect_pictures([b"x"], [default_options(triton.spec)]) is None


def test_a_model_that_somebody_put_there_is_given_what_it_was_trained_on(
    triton: AtTriton, local: OnnxRuntimeEngine
) -> None:
    spec = replace(triton.spec, name="by-hand", sha256="f" * 64)
    engine = load_triton(spec, triton.options())
    try:
        (found,) = engine.infer(batch(5))  # in two requests
    finally:
        engine.close()
    np.testing.assert_allclose(found, local.infer(batch(5))[0], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"input_size_wh": (640, 640)}, r"\[-1, 640, 640, 3\].*sightline triton deploy"),
        ({"labels": ("one", "two", "three")}, "3 classes"),
        ({"family": Family.END2END}, r"\[-1, -1, 6\]"),
    ],
)
def test_a_model_of_another_shape_is_refused_with_what_differs(
    triton: AtTriton, changes: dict[str, object], match: str
) -> None:
    spec = replace(triton.spec, **changes)  # type: ignore[arg-type]
    with pytest.raises(ProviderError, match=match):
        load_triton(spec, triton.options())
    assert missing_at(spec, triton.options()) is not None


def test_a_model_whose_config_says_little_is_found_out_by_its_first_answer(
    triton: AtTriton,
) -> None:
    spec = replace(triton.spec, name="by-hand", sha256="f" * 64, labels=("one",))
    with pytest.raises(ProviderError, match="returned"):
        load_triton(spec, triton.options())


def test_a_file_that_is_not_there_is_away_and_says_how_to_deploy_it(triton: AtTriton) -> None:
    other = replace(triton.spec, sha256="f" * 64)
    with pytest.raises(EngineAwayError, match=r"another file.*sightline triton deploy"):
        load_triton(other, triton.options())
    engine = load_triton(other, triton.options(), may_be_away=True)
    try:
        assert "sightline triton deploy" in str(engine.trouble)
        with pytest.raises(EngineAwayError):
            engine.infer(batch(1))
        assert engine.take_calls() == ()  # it wasn't even sent
    finally:
        engine.close()


def test_formats_that_triton_does_not_take_are_refused(triton: AtTriton) -> None:
    spec = replace(triton.spec, path=Path("model.xml"))
    with pytest.raises(ProviderError, match="ONNX files and plans"):
        load_engine(spec, "triton", triton=triton.options())


def test_what_the_server_forgot_when_it_was_started_anew_is_told_again_without_a_lost_batch(
    triton: AtTriton,
) -> None:
    with engine_of(triton, transport="system_shm", protocol="http") as engine:
        wanted = engine.infer(batch(2))[0]
        while mine() != set(triton.client.regions()):  # the first, smaller ones go by and by
            time.sleep(0.05)
        assert len(mine()) == 2
        triton.server.restart()
        triton.load()
        np.testing.assert_array_equal(engine.infer(batch(2))[0], wanted)
        assert engine.trouble is None
    assert not triton.client.regions()
    assert not mine()


def mine() -> set[str]:
    """Return the names of this process's shared memory."""
    return {one for one in os.listdir(FOLDER) if one.startswith(f"sightline-{os.getpid()}-")}


def test_a_batch_that_is_late_twice_is_too_large_and_one_that_is_late_once_is_not(
    triton: AtTriton,
) -> None:
    with engine_of(triton) as engine:
        most: list[int | None] = []
        for size in (4, 1, 4):
            engine._note(late("there:8001", 1.0), size, 0.0)
            most += [one.most for one in engine.take_calls()]
        assert most == [None, None, 2]


class Slow:
    """A wire whose answers take their time, and that knows no model."""

    url = "there:8001"

    def __init__(self) -> None:
        self.limits_s: list[float] = []

    def call(self, method: str, request: Message, timeout_s: float) -> Message:
        from tritonclient.grpc import service_pb2

        self.limits_s.append(timeout_s)
        time.sleep(min(timeout_s, 0.09))
        if timeout_s < 0.09:
            raise late(self.url, timeout_s)
        if method == "RepositoryIndex":
            index = service_pb2.RepositoryIndexResponse()
            for number in range(9):
                index.models.add(name=f"other__{number}__detector", state="READY")
            return index
        if "other" not in request.name:
            raise ModelGoneError("gone")
        return getattr(service_pb2, method + "Response")()

    def start(self, request: Message, timeout_s: float, convert: object) -> Future[Any]:
        ended: Future[Any] = Future()
        ended.set_exception(ModelGoneError("gone"))
        return ended

    def close(self) -> None:
        pass


def test_looking_for_a_model_that_is_gone_takes_no_more_than_the_batch_has() -> None:
    wire = Slow()
    engine = TritonEngine(SPEC, TritonOptions("there:8001", timeout_s=0.3), Client(wire, 0.3))
    engine._target = _Target("m", Port("in", "UINT8", "out", "FP32", None, 8, False), None)
    with pytest.raises(EngineAwayError, match=r"within 0\.3 s"):
        engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
    assert sum(min(limit_s, 0.09) for limit_s in wire.limits_s) < 0.31
    engine.close()
