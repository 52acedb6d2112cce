"""From a JPEG to boxes a frame's pixels are written twice: decoded, and letterboxed.

How writes are counted: numpy and OpenCV report the memory of every array to
tracemalloc. A copy needs its source and its destination at once, so an array that a step fills
besides the one it is there to fill shows in the step's own peak, however soon it is let go:
each step may grow by the one array it returns and by small change. Filling an array in place is
ruled out by handing over what can't be written, and what a runtime keeps for itself by asking it
whose memory it reads. A frame that its camera stored turned is written once more, when turned;
browsers send theirs upright.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from sightline_engines import onnxrt, ov
from sightline_engines.graph import INPUT_NAME
from sightline_engines.load import load_engine
from sightline_engines.picture import PictureLimits, decode_frame, encode_jpeg
from sightline_engines.pipeline import default_options, detect
from sightline_engines.postprocess import postprocess
from sightline_engines.preprocess import preprocess
from sightline_engines.recognise import recognise
from sightline_engines.types import Engine, Image, ModelSpec
from tests.engines.conftest import Load
from tests.engines.tiny import constant_model

LIMITS = PictureLimits()
SMALL = 50_000  # bytes: the JPEG itself, Python's objects, boxes
T = TypeVar("T")


@dataclass
class Counter:
    """Runs steps and adds up what each had allocated at its peak."""

    grown: list[int] = field(default_factory=list)

    def run(self, step: Callable[[], T]) -> T:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = step()
        self.grown.append(tracemalloc.get_traced_memory()[1] - before)
        return result


@pytest.fixture
def counter() -> Iterator[Counter]:
    tracemalloc.start()
    yield Counter()
    tracemalloc.stop()


def jpeg(width: int, height: int) -> bytes:
    """Return a smooth picture: few bytes of JPEG, many of pixels."""
    across = np.linspace(0, 255, width, dtype=np.uint8)
    return encode_jpeg(np.ascontiguousarray(np.broadcast_to(across[:, None], (height, width, 3))))


def spec_of(tmp_path: Path, batch: int | str = 1) -> ModelSpec:
    """Write a model with a large input and a small answer."""
    raw = np.array([[8, 8, 600, 300, 0.9, 1], [0, 0, 0, 0, 0, 0]])
    return recognise(constant_model(tmp_path / "m.onnx", raw, size_wh=(640, 640), batch=batch))


@pytest.mark.parametrize(
    ("width", "height"),
    [(1280, 720), (2560, 1440), (640, 640), (700, 1100)],
    ids=["as it is", "reduced", "of the input's size", "upright"],
)
def test_a_frame_is_written_twice_and_nothing_else_of_its_size(
    width: int, height: int, tmp_path: Path, load: Load, counter: Counter
) -> None:
    engine, data = load(spec_of(tmp_path)), jpeg(width, height)
    options = [default_options(engine.spec)]
    decode_frame(data, LIMITS, (640, 640))  # what is made once is made before it is counted

    image, size_wh = counter.run(lambda: decode_frame(data, LIMITS, engine.spec.input_size_wh))
    image.flags.writeable = False
    batch = counter.run(lambda: preprocess([image], engine.spec, [size_wh]))
    raw = counter.run(lambda: engine.infer(batch.tensor))
    counter.run(lambda: postprocess(raw, batch.letterboxes, engine.spec, options))

    returned = [image.nbytes, batch.tensor.nbytes, sum(output.nbytes for output in raw), 0]
    over = [grown - array for grown, array in zip(counter.grown, returned, strict=True)]
    assert max(over) < SMALL, over
    assert min(image.nbytes, batch.tensor.nbytes) > 10 * SMALL, "a copy of either would show"
    engine.close()


def test_the_peak_of_a_frame_is_its_two_arrays_and_the_models_answer(
    tmp_path: Path, load: Load, counter: Counter
) -> None:
    engine, data = load(spec_of(tmp_path)), jpeg(1280, 720)
    options = [default_options(engine.spec)]
    seen: list[Image] = []

    def frame() -> None:
        image, size_wh = decode_frame(data, LIMITS, engine.spec.input_size_wh)
        detect(engine, [image], options, [size_wh])
        seen[:] = [image]

    frame()
    seen.clear()
    counter.run(frame)
    assert counter.grown[0] < seen[0].nbytes + 640 * 640 * 3 + SMALL
    engine.close()


def test_a_batch_costs_two_arrays_a_frame(tmp_path: Path, load: Load, counter: Counter) -> None:
    engine, data = load(spec_of(tmp_path, "n")), jpeg(1280, 720)
    options = [default_options(engine.spec)] * 4

    def batch() -> int:
        frames = [decode_frame(data, LIMITS, engine.spec.input_size_wh) for _ in range(4)]
        images, sizes_wh = [image for image, _ in frames], [size_wh for _, size_wh in frames]
        detect(engine, images, options, sizes_wh)
        return sum(image.nbytes for image in images)

    batch()
    decoded = counter.run(batch)
    assert counter.grown[0] < decoded + 4 * 640 * 640 * 3 + 4 * SMALL
    engine.close()


def test_an_upright_frame_is_not_turned(counter: Counter) -> None:
    data = jpeg(1280, 720)
    image, _ = counter.run(lambda: decode_frame(data, LIMITS, (640, 640)))
    assert counter.grown[0] < image.nbytes + SMALL


# --- the runtimes ---------------------------------------------------------------------------


def test_openvino_reads_the_tensor_where_it_lies(tmp_path: Path) -> None:
    engine = load_engine(spec_of(tmp_path), "openvino", device="cpu", threads=1)
    assert isinstance(engine, ov.OpenVinoEngine)
    tensor = np.zeros((1, 640, 640, 3), np.uint8)
    engine.infer(tensor)
    request: Any = engine._request
    assert np.shares_memory(request.get_tensor(INPUT_NAME).data, tensor)
    engine.close()


@dataclass
class Recording:
    """A session that keeps what it is given; ONNX Runtime wraps a C-ordered array uncopied."""

    given: list[np.ndarray[Any, Any]] = field(default_factory=list)

    def run(self, _: None, feed: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        self.given.append(feed[INPUT_NAME])
        return [np.zeros((len(feed[INPUT_NAME]), 2, 6), np.float32)]


def test_onnx_runtime_is_given_the_tensor_itself(tmp_path: Path) -> None:
    real = load_engine(spec_of(tmp_path), "onnxruntime", device="cpu", threads=1)
    session = Recording()
    engine: Engine = onnxrt.OnnxRuntimeEngine(real.spec, real.served, session)
    batch = preprocess([np.zeros((360, 640, 3), np.uint8)], engine.spec)
    engine.infer(batch.tensor)
    assert session.given[0].flags.c_contiguous
    assert np.shares_memory(session.given[0], batch.tensor)
    assert session.given[0].nbytes == batch.tensor.nbytes
    real.close()


def test_boxes_of_a_reduced_frame_are_in_pixels_of_its_source(tmp_path: Path, load: Load) -> None:
    engine = load(spec_of(tmp_path))
    options = [default_options(engine.spec)]
    whole, reduced = (np.zeros((360 * n, 640 * n, 3), np.uint8) for n in (2, 1))
    (expected,), _ = detect(engine, [whole], options)
    (found,), _ = detect(engine, [reduced], options, [(1280, 720)])
    assert len(found) == 1
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    engine.close()
