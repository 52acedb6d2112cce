"""One frame, followed through every hop: from the camera's picture to the drawn box.

    wire.encode_frame → WebSocket → session → batcher → pipeline → engine → result → drawn

The server is the real one, on a real socket; once with an engine whose answer is known to the
pixel, once with the model that ships.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from websockets.asyncio.client import connect

from sightline_backend.app import create_app
from sightline_backend.settings import Settings
from sightline_engines import wire
from sightline_engines.assets import shipped_model
from sightline_engines.draw import draw_detections
from sightline_engines.load import EngineName, load_engine
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import default_options, detect
from sightline_engines.recognise import recognise
from sightline_engines.types import Image, Result
from tests.backend.camera import connected
from tests.backend.running import running, serving
from tests.fakes import FakeEngine, encoded, grey

ENGINE: EngineName = "openvino"  # the faster of two may be another the second time


async def test_a_frame_arrives_where_its_box_is_drawn() -> None:
    picture = grey(204, 320, 240)

    packet = wire.FramePacket(
        seq=3, captured_us=1_700_000_000_000_000, age_ms=4, payload=encoded(picture)
    )
    message = wire.encode_frame(packet)
    assert len(message) == wire.HEADER_BYTES + len(packet.payload)

    async with running(FakeEngine()) as backend:
        url = f"ws://127.0.0.1:{backend.port}/ws/detect"
        protocols = [wire.SUBPROTOCOL]
        async with connect(url, subprotocols=protocols, proxy=None) as socket:  # type: ignore[arg-type]
            hello = wire.message_from_json(str(await socket.recv()))
            await socket.send(message)
            result = wire.message_from_json(str(await socket.recv()))
        assert backend.engine.batches[-1] == 1
        assert await backend.metric("sightline_frames_total", result="answered") == 1
        assert await backend.metric("sightline_result_age_seconds_count") == 1

    assert isinstance(hello, wire.Hello)
    assert isinstance(result, Result)
    assert (result.seq, result.captured_us) == (packet.seq, packet.captured_us)
    assert result.size_wh == (320, 240)
    assert result.model == hello.model
    assert result.batch_size == 1
    stages = result.timings
    assert min(stages.decode, stages.queue, stages.preprocess, stages.postprocess) >= 0
    spent = (stages.queue, stages.decode, stages.preprocess, stages.infer, stages.postprocess)
    assert stages.total >= sum(spent) - 0.1

    # The engine answers (16, 16)-(32, 32) of its 64x64 input; the picture fills its width.
    assert result.detections.xyxy.tolist() == [[80, 80, 160, 160]]
    assert result.detections.score.tolist() == pytest.approx([0.8], abs=0.01)

    drawn = draw_detections(picture.copy(), result.detections, hello.labels)
    assert_box_is_drawn(picture, drawn, [80, 80, 160, 160])


async def test_the_model_that_ships_finds_the_same_over_the_wire_as_without_it(
    shared_data: Path, tmp_path: Path
) -> None:
    files = itertools.islice(sorted((shared_data / "faces").rglob("*.jpg")), 5)
    pictures = [file.read_bytes() for file in files]
    alone = await asyncio.to_thread(detect_alone, pictures)

    settings = Settings(port=0, models_dir=tmp_path, deadline_ms=60_000, engine=ENGINE)
    async with (
        serving(create_app(settings), settings) as (_, port),
        connected(f"ws://127.0.0.1:{port}/ws/detect") as camera,
    ):
        answers = [await camera.detect(seq, data) for seq, data in enumerate(pictures)]
        labels = camera.hello.labels

    assert sum(len(answer.detections) for answer in answers) > 0
    for data, answer, expected in zip(pictures, answers, alone, strict=True):
        assert answer.detections.to_dicts(labels) == expected
        if expected:
            picture = decode_picture(data, PictureLimits())
            drawn = draw_detections(picture.copy(), answer.detections, labels)
            assert_box_is_drawn(picture, drawn, answer.detections.xyxy[0].tolist())


def detect_alone(pictures: list[bytes]) -> list[list[dict[str, object]]]:
    """Run the shipped model without server or wire."""
    engine = load_engine(recognise(shipped_model()), ENGINE)
    options = default_options(engine.spec)
    try:
        images = [decode_picture(data, PictureLimits()) for data in pictures]
        found = [detect(engine, [image], [options])[0][0] for image in images]
    finally:
        engine.close()
    return [one.to_dicts(engine.spec.labels) for one in found]


def assert_box_is_drawn(before: Image, after: Image, xyxy: list[float]) -> None:
    """Check that a box's outline has changed and that its middle is as it was."""
    height, width = before.shape[:2]
    left, top, right, bottom = (round(value) for value in xyxy)
    changed = cv2.absdiff(before, after).max(axis=2) > 0
    columns = np.clip([left, right - 1], 0, width - 1)
    middle_y = min((top + bottom) // 2, height - 1)
    for column in columns:
        nearby = changed[middle_y, max(column - 4, 0) : column + 5]
        assert nearby.any(), f"no edge near ({column}, {middle_y})"
    if (right - left, bottom - top) > (60, 60):
        assert not changed[middle_y, (left + right) // 2]
