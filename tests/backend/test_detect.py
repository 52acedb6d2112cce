"""POST /detect: what comes back, in which shape, and what is refused with which words."""

from __future__ import annotations

import asyncio
import csv
import io
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest
import supervision as sv

from sightline_engines.errors import EngineError
from sightline_engines.header import PictureHeader, parse_header
from tests.backend.running import running, until
from tests.fakes import SPEC, FakeEngine, encoded, grey, named, noise

PICTURE = encoded(grey(204, 128, 64))


async def test_json_has_exactly_the_documented_shape() -> None:
    async with running() as backend:
        response = await backend.detect(PICTURE)
    body = response.json()
    assert response.status_code == 200
    assert list(body) == ["model", "image", "detections", "timings_ms"]
    assert body["model"] == {
        "name": "fake",
        "version": "1",
        "engine": "fake",
        "precision": "fp32",
        "device": "CPU",
        "fallback": None,
    }
    assert body["image"] == {"width": 128, "height": 64}
    stages = ["decode", "queue", "preprocess", "infer", "postprocess", "total"]
    assert list(body["timings_ms"]) == stages
    (found,) = body["detections"]
    assert list(found) == ["xyxy", "score", "class_id", "class_name"]
    assert found["xyxy"] == [32, 32, 64, 64]
    assert found["score"] == pytest.approx(0.8, abs=0.01)
    assert (found["class_id"], found["class_name"]) == (0, "person")


async def test_a_picture_without_detections_is_an_answer_too() -> None:
    async with running() as backend:
        for wanted in ("json", "csv", "image", "roboflow"):
            response = await backend.detect(encoded(grey(0)), format=wanted)
            assert response.status_code == 200
        assert (await backend.detect(encoded(grey(0)))).json()["detections"] == []


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
async def test_every_accepted_format_is_read(kind: str) -> None:
    async with running() as backend:
        response = await backend.detect(encoded(grey(204), kind))
    assert len(response.json()["detections"]) == 1


FIELDS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [0, 1, 2]),
    ({"classes": ""}, [0, 1, 2]),
    ({"classes": "face"}, [1]),
    ({"classes": "face,0"}, [0, 1]),
    ({"classes": ["face", "person"]}, [0, 1]),
    ({"classes": ["2", "face,person"]}, [0, 1, 2]),
    ({"conf": 0.99}, []),
    ({"conf": "0"}, [0, 1, 2]),
    ({"max_detections": 1}, [0]),
]


@pytest.mark.parametrize(("fields", "ids"), FIELDS)
async def test_fields_are_taken_from_the_address_and_from_the_form(
    fields: dict[str, Any], ids: list[int]
) -> None:
    async with running(FakeEngine(boxes=3)) as backend:
        asked = await backend.detect(PICTURE, **fields)
        posted = await backend.http.post("/detect", files={"file": PICTURE}, data=fields)
    for response in (asked, posted):
        found = response.json()["detections"]
        assert sorted(row["class_id"] for row in found) == ids


async def test_the_form_outweighs_the_address() -> None:
    async with running() as backend:
        response = await backend.http.post(
            "/detect?conf=0.99&format=csv", files={"file": PICTURE}, data={"conf": "0.1"}
        )
    assert len(response.text.splitlines()) == 2


async def test_csv_has_a_line_a_detection_and_no_cell_runs_as_a_formula() -> None:
    async with running(FakeEngine(boxes=3)) as backend:
        response = await backend.detect(PICTURE, format="csv")
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["class_name"] for row in rows] == ["person", "face", "'=cmd|calc"]
    assert [float(rows[0][side]) for side in ("x1", "y1", "x2", "y2")] == [32, 32, 64, 64]


async def test_image_is_the_same_picture_with_boxes() -> None:
    async with running() as backend:
        response = await backend.detect(encoded(grey(204, 512, 256)), format="image")
    assert response.headers["content-type"] == "image/jpeg"
    drawn = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == (256, 512, 3)
    changed = np.abs(drawn.astype(int) - 204).max(axis=2) > 60
    assert changed[128:, 120:264].any(), "the box goes from (128, 128) to (256, 256)"
    assert not changed[:64].any(), "far from the box the picture is as it was"


async def test_roboflow_is_read_by_supervision() -> None:
    async with running(FakeEngine(boxes=2)) as backend:
        plain = (await backend.detect(PICTURE)).json()["detections"]
        response = await backend.detect(PICTURE, format="roboflow")
        nothing = await backend.detect(encoded(grey(0)), format="roboflow")
    read = sv.Detections.from_inference(response.json())
    assert read.xyxy.tolist() == [row["xyxy"] for row in plain]
    assert read.class_id is not None
    assert read.confidence is not None
    assert read.class_id.tolist() == [row["class_id"] for row in plain]
    assert read.confidence.tolist() == pytest.approx([row["score"] for row in plain])
    assert list(read.data["class_name"]) == ["person", "face"]
    assert len(sv.Detections.from_inference(nothing.json())) == 0


async def test_another_model_is_loaded_when_it_is_first_asked_for() -> None:
    async with running(FakeEngine(), FakeEngine(named("other", ("dog",)))) as backend:
        response = await backend.detect(PICTURE, model="other")
        assert response.json()["model"]["name"] == "other"
        assert response.json()["detections"][0]["class_name"] == "dog"
        assert (await backend.detect(PICTURE, model="other")).status_code == 200
        assert backend.models.loads == ("fake", "other")


BAD_CALLS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"conf": 7}, 422, "invalid_request", "conf: Input should be less than or equal to 1"),
    ({"conf": "nan"}, 422, "invalid_request", "conf"),
    ({"iou": -1}, 422, "invalid_request", "iou"),
    ({"max_detections": 0}, 422, "invalid_request", "max_detections"),
    ({"format": "xml"}, 422, "invalid_request", "format"),
    ({"confidence": 0.5}, 422, "invalid_request", "confidence: there is no such field"),
    ({"classes": "unicorn"}, 422, "unknown_class", "person, face"),
    ({"classes": "-1"}, 422, "unknown_class", "0 to 2"),
    ({"classes": "3"}, 422, "unknown_class", "0 to 2"),
    ({"classes": "²"}, 422, "unknown_class", "person"),
    ({"model": "nothing"}, 404, "unknown_model", "There are: fake"),
    ({"model": "../fake.onnx"}, 404, "unknown_model", "There are: fake"),
]


@pytest.mark.parametrize(("params", "status", "code", "said"), BAD_CALLS)
async def test_a_bad_call_is_told_what_is_wrong(
    params: dict[str, Any], status: int, code: str, said: str
) -> None:
    async with running() as backend:
        response = await backend.detect(PICTURE, **params)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] == code
    assert said in error["message"]


BAD_UPLOADS: list[tuple[bytes, int, str]] = [
    (b"", 422, "bad_picture"),
    (b"no picture at all", 415, "unsupported_format"),
    (b"GIF89a\1\0\1\0\0\0\0;", 415, "unsupported_format"),
    (PICTURE[:-50], 422, "corrupt_picture"),
    (encoded(grey(1, 400, 400), ".png"), 413, "too_large"),
]


@pytest.mark.parametrize(("upload", "status", "code"), BAD_UPLOADS)
async def test_what_is_no_picture_is_refused(upload: bytes, status: int, code: str) -> None:
    async with running(max_pixels=399 * 400) as backend:
        response = await backend.detect(upload)
        runs = backend.engine.batches
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert (await backend.detect(PICTURE)).status_code == 200
        assert len(runs) == len(backend.engine.batches)


async def test_a_call_without_a_file_is_told_how_to_send_one() -> None:
    no_boundary = {"content-type": "multipart/form-data"}
    async with running() as backend:
        responses = [
            await backend.http.post("/detect"),
            await backend.http.post("/detect", json={"file": "x"}),
            await backend.http.post("/detect", data={"file": "x"}),
            await backend.http.post("/detect", files={"picture": PICTURE}),
            await backend.http.post("/detect", content=b"x", headers=no_boundary),
        ]
    for response in responses:
        assert response.status_code in (400, 422)
        assert set(response.json()["error"]) == {"code", "message"}


async def test_an_engine_that_fails_is_the_servers_fault_and_says_no_more() -> None:
    async with running() as backend:
        backend.engine.failure = EngineError("The device has no memory left.")
        known = await backend.detect(PICTURE)
        backend.engine.failure = ZeroDivisionError("secret")
        bug = await backend.detect(PICTURE)
    assert known.status_code == bug.status_code == 500
    assert known.json()["error"]["code"] == "engine_failed"
    assert "secret" not in bug.text


async def test_exif_orientation_turns_the_picture_upright() -> None:
    exif = bytes.fromhex(
        "ffe1002245786966000049492a00080000000100120103000100000006000000000000000000"
    )
    turned = PICTURE[:2] + exif[:36] + PICTURE[2:]
    async with running() as backend:
        response = await backend.detect(turned)
    assert response.json()["image"] == {"width": 64, "height": 128}


async def test_many_uploads_at_once_are_all_answered() -> None:
    async with running(FakeEngine(seconds=0.002)) as backend:
        levels = list(range(80, 240, 8))
        responses = await asyncio.gather(
            *(backend.detect(encoded(grey(level))) for level in levels)
        )
    scores = [response.json()["detections"][0]["score"] for response in responses]
    assert scores == pytest.approx([level / 255 for level in levels], abs=0.01)


async def test_a_large_picture_is_answered() -> None:
    async with running() as backend:
        response = await backend.detect(encoded(noise(3000, 1500)))
    assert response.json()["image"] == {"width": 3000, "height": 1500}
    assert SPEC.input_size_wh == (64, 64)


async def test_no_picture_is_parsed_on_the_event_loops_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def noted(data: memoryview, max_scans: int) -> PictureHeader:
        threads.append(threading.current_thread())
        return parse_header(data, max_scans)

    monkeypatch.setattr("sightline_engines.picture.parse_header", noted)
    async with running() as backend:
        assert (await backend.detect(PICTURE)).status_code == 200
    assert threads
    assert threading.current_thread() not in threads


async def test_the_times_count_from_the_pictures_arrival() -> None:
    async with running(FakeEngine(), FakeEngine(named("other"))) as backend:
        backend.models.go.clear()
        asking = asyncio.create_task(backend.detect(PICTURE, model="other"))
        await until(lambda: "other" in backend.models.loads)
        waited_from_s = time.monotonic()
        await asyncio.sleep(0.05)
        waited_ms = (time.monotonic() - waited_from_s) * 1e3
        backend.models.go.set()
        timings = (await asking).json()["timings_ms"]
    assert timings["queue"] >= waited_ms
    assert timings["total"] >= timings["queue"] + timings["infer"]


async def test_a_file_that_is_only_text_is_told_how_to_send_one() -> None:
    async with running() as backend:
        text = await backend.http.post("/detect", data={"file": "hello"})
        nothing = await backend.http.post("/detect")
    for response in (text, nothing):
        message = response.json()["error"]["message"]
        assert "curl -F file=@street.jpg" in message
        assert "class" not in message


async def test_an_upload_counts_once_its_picture_is_opened() -> None:
    """As docs/metrics.md has it; what is turned away before that is in the HTTP metrics alone."""
    async with running(max_upload_bytes=20_000) as backend:
        for picture, params, status in [
            (PICTURE, {"model": "unicorn"}, 404),
            (PICTURE, {"classes": "unicorn"}, 422),
            (bytes(200_000), {}, 413),
            (b"no picture", {}, 415),
            (PICTURE[:200], {}, 422),
            (PICTURE, {}, 200),
        ]:
            assert (await backend.detect(picture, **params)).status_code == status
        assert await backend.metric("sightline_frames_total", result="refused") == 2
        assert await backend.metric("sightline_frames_total", result="answered") == 1
