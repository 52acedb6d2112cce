"""The Python steps: what they carry, and what they make of pictures, good ones and others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline_engines.assets import shipped_model
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.postprocess import DetectOptions, postprocess
from sightline_engines.preprocess import preprocess
from sightline_engines.recognise import recognise
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.steps.boxes import BoxesStep
from sightline_engines.triton.steps.names import FACTS, OUTPUT_JSON, PROBLEM
from sightline_engines.triton.steps.pictures import PictureStep
from sightline_engines.triton.steps.step import Answer, PictureFacts, Request
from sightline_engines.types import Family, ModelSpec, Preprocess
from tests.engines import encoded
from tests.triton.asking import LEFT_HALF, asked, raw

SIZE_WH = (64, 48)
PICTURES: dict[str, Any] = {
    "step": "pictures",
    "tensor": "network",
    "input_size_wh": list(SIZE_WH),
    "fit": "centre",
    "pad": 114,
    "limits": {"max_bytes": 2**20, "max_pixels": 10_000, "max_slow_pixels": 8_000},
    "max_scan_pixels": 60_000,
    "threads": 2,
}
BOXES: dict[str, Any] = {
    "step": "boxes",
    "model": "webcam",
    "deployment": 7,
    "sha256": "a" * 64,
    "tensor": "raw",
    "labels": ["person", "face, smiling"],
    "family": "end2end",
    "input_size_wh": list(SIZE_WH),
    "postprocess": {"conf": 0.5, "iou": 0.5, "max_detections": 300},
}


def arrays(answer: Answer) -> Mapping[str, NDArray[Any]]:
    assert isinstance(answer, dict), answer
    return answer


def said(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(text) for text in arrays(answer)[OUTPUT_JSON].ravel()]


@pytest.fixture
def pictures() -> Iterator[PictureStep]:
    step = PictureStep(PICTURES)
    yield step
    step.close()


@pytest.mark.parametrize("fit", ["centre", "topleft"])
def test_a_picture_becomes_what_the_engine_would_make_of_it(fit: Any) -> None:
    data = encoded.encoded(encoded.scene(50, 90), "PNG")
    step = PictureStep({**PICTURES, "fit": fit, "pad": 7})
    answer = arrays(step.run([asked(data)])[0])
    step.close()
    spec = ModelSpec(
        "m",
        Path("m.onnx"),
        Family.YOLOX,
        SIZE_WH,
        ("a",),
        preprocess=Preprocess(letterbox=fit, pad=7),
    )
    batch = preprocess([decode_picture(data, PictureLimits())], spec)
    assert np.array_equal(answer["network"], batch.tensor)
    box, facts = batch.letterboxes[0], PictureFacts(*answer[FACTS][0])
    assert (facts.scale_x, facts.scale_y) == (box.scale_x, box.scale_y)
    assert (facts.pad_x, facts.pad_y) == (box.pad_x, box.pad_y)
    assert (facts.width, facts.height) == (50, 90)
    assert facts.decode_ms > 0
    assert answer[PROBLEM].tolist() == [[b""]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_any_accepted_format_is_taken(pictures: PictureStep, kind: str) -> None:
    answer = arrays(pictures.run([asked(encoded.encoded(encoded.scene(), kind))])[0])
    assert answer[PROBLEM].tolist() == [[b""]]


def test_a_picture_is_turned_as_its_exif_asks(pictures: PictureStep) -> None:
    scene = encoded.scene(60, 30)
    lying = encoded.encoded(scene, "PNG", exif=encoded.exif(6))
    upright = encoded.encoded(np.ascontiguousarray(np.rot90(scene, -1)), "PNG")
    turned, wanted = (arrays(one) for one in pictures.run([asked(lying), asked(upright)]))
    facts = PictureFacts(*turned[FACTS][0])
    assert (facts.width, facts.height) == (30, 60)
    assert np.array_equal(turned["network"], wanted["network"])
    assert len(np.unique(turned["network"])) > 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_picture"),
        (b"GIF89a", "unsupported_format"),
        (bytes(2**20 + 1), "too_large"),
        (encoded.png_claiming(60_000, 60_000), "too_large"),
        (encoded.encoded(encoded.scene(200, 100), "JPEG"), "too_large"),
        (encoded.encoded(encoded.scene(), "JPEG")[:-20], "corrupt_picture"),
        (encoded.encoded(encoded.scene(), "PNG")[:-20], "corrupt_picture"),
        (encoded.many_scans(200), "corrupt_picture"),
        (encoded.many_scans(60), "corrupt_picture"),
        (encoded.encoded(encoded.scene(99, 99), "PNG"), "too_large"),
    ],
    ids=[
        *("empty", "GIF", "bytes", "claims", "pixels", "cut JPEG", "cut PNG", "scans"),
        *("scans for its size", "slow pixels"),
    ],
)
def test_a_hostile_picture_is_a_problem_of_its_own(
    pictures: PictureStep, data: bytes, code: str
) -> None:
    good = encoded.encoded(encoded.scene(), "PNG")
    (alone,) = pictures.run([asked(good)])
    answers = pictures.run([asked(good), asked(good, data), asked(good)])
    for answer, at in ((answers[0], 0), (answers[1], 0), (answers[2], 0)):
        assert np.array_equal(arrays(answer)["network"][at], arrays(alone)["network"][0])
        assert arrays(answer)[PROBLEM][at, 0] == b""
    refused = arrays(answers[1])
    problem = json.loads(refused[PROBLEM][1, 0])
    assert problem["code"] == code
    assert problem["message"]
    assert (refused["network"][1] == 114).all()


def test_an_ordinary_progressive_picture_of_the_largest_size_is_taken(
    pictures: PictureStep,
) -> None:
    plain = encoded.encoded(encoded.scene(100, 60), "JPEG", progressive=True)
    assert plain.count(b"\xff\xda") <= 10
    assert arrays(pictures.run([asked(plain)])[0])[PROBLEM].tolist() == [[b""]]


def test_the_limits_of_a_deployment_leave_room_for_a_cameras_picture(tmp_path: Path) -> None:
    deployments = Deployments(Repository(tmp_path / "repository"))
    made = deployments.prepare(recognise(shipped_model()), TritonConfig())
    spec = json.loads(deployments.repository.read(made.preprocess, "1/spec.json") or "")
    limits = PictureLimits(**spec["limits"])
    assert limits.max_pixels >= 6000 * 4000
    assert limits.max_slow_pixels == 8_400_000
    assert 10 <= spec["max_scan_pixels"] // limits.max_pixels < 20


def test_requests_get_back_as_many_rows_as_they_sent(pictures: PictureStep) -> None:
    good = encoded.encoded(encoded.scene(), "JPEG")
    answers = pictures.run([asked(good), asked(good, good, b"x"), asked(good)])
    assert [len(arrays(one)["network"]) for one in answers] == [1, 3, 1]
    assert [len(arrays(one)[PROBLEM]) for one in answers] == [1, 3, 1]


def test_an_error_that_nobody_expects_is_the_one_pictures_own(
    pictures: PictureStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(data: bytes, limits: PictureLimits) -> Any:
        if data == odd_one:
            raise MemoryError("none left")
        return decode_picture(data, limits)

    monkeypatch.setattr("sightline_engines.triton.steps.pictures.decode_picture", fails)
    good = encoded.encoded(encoded.scene(), "JPEG")
    odd_one = encoded.encoded(encoded.scene(40, 40), "JPEG")
    (answer,) = pictures.run([asked(odd_one, good)])
    odd, fine = arrays(answer)[PROBLEM].ravel()
    assert json.loads(odd)["code"] == "bad_picture"
    assert fine == b""


def test_boxes_are_those_of_the_engine_in_pixels_of_the_picture() -> None:
    facts = PictureFacts(0.5, 0.5, 0, 4, 128, 80, 1.5, 0.25)
    (told,) = said(BoxesStep(BOXES).run([raw(facts)])[0])
    spec = ModelSpec("m", Path("m"), Family.END2END, SIZE_WH, ("person",))
    batch = preprocess([np.zeros((80, 128, 3), np.uint8)], spec)
    rows = (np.array([[LEFT_HALF]], np.float32),)
    (found,) = postprocess(rows, batch.letterboxes, spec, [DetectOptions(0.5, 0.5)])
    assert told["detections"] == found.to_dicts(("person",))
    assert (told["model"], told["deployment"], told["sha256"]) == ("webcam", 7, "a" * 64)
    assert (told["width"], told["height"]) == (128, 80)
    assert (told["timings_ms"]["decode"], told["timings_ms"]["preprocess"]) == (1.5, 0.25)
    assert told["timings_ms"]["postprocess"] >= 0


@pytest.mark.parametrize(
    ("parameters", "classes"),
    [
        ({}, [0]),
        ({"conf": 0.3}, [0, 1]),
        ({"conf": "0.3"}, [0, 1]),
        ({"conf": 0.3, "classes": "1"}, [1]),
        ({"conf": 0.3, "classes": "person, 1"}, [0, 1]),
        ({"conf": 0.3, "classes": ""}, [0, 1]),
        ({"conf": 0.3, "max_detections": 1}, [0]),
        ({"conf": 1}, []),
    ],
)
def test_a_request_may_set_its_own_thresholds(
    parameters: dict[str, Any], classes: list[int]
) -> None:
    facts = PictureFacts(width=64, height=48)
    (told,) = said(BoxesStep(BOXES).run([raw(facts, **parameters)])[0])
    assert [one["class_id"] for one in told["detections"]] == classes


@pytest.mark.parametrize(
    "parameters",
    [
        {"conf": 2},
        {"conf": "high"},
        {"conf": "nan"},
        {"iou": -1},
        {"max_detections": 0},
        {"max_detections": 10**9},
        {"classes": "cat"},
        {"classes": "2"},
    ],
)
def test_thresholds_that_make_no_sense_are_answered_and_hurt_nobody(
    parameters: dict[str, Any],
) -> None:
    facts = PictureFacts(width=64, height=48)
    wrong, right = BoxesStep(BOXES).run([raw(facts, **parameters), raw(facts)])
    assert said(wrong)[0]["error"]["code"] == "bad_request"
    assert next(iter(parameters)).removesuffix("es") in said(wrong)[0]["error"]["message"]
    assert len(said(right)[0]["detections"]) == 1


def test_a_problem_of_the_first_step_is_the_answer_of_the_last() -> None:
    problem = {"code": "too_large", "message": 'He said "no".'}
    (told,) = said(BoxesStep(BOXES).run([raw(PictureFacts(), json.dumps(problem))])[0])
    assert told == {"error": problem}


def test_a_network_that_answers_nonsense_fails_its_own_request() -> None:
    facts = PictureFacts(width=64, height=48)
    broken = Request({**raw(facts).arrays, "raw": np.full((1, 5), np.nan, np.float32)}, {})
    first, second = BoxesStep(BOXES).run([broken, raw(facts)])
    assert isinstance(first, str)
    assert len(said(second)[0]["detections"]) == 1
