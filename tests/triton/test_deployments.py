"""Deployments at the real Triton: pictures in, the local engine's boxes out."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import onnx
import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.detector import Detector
from sightline_engines.load import load_engine
from sightline_engines.picture import PictureLimits, decode_picture, encode_as
from sightline_engines.preprocess import preprocess
from sightline_engines.recognise import recognise
from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployment import Deployment
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.facts import Answer
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import TritonServer
from sightline_engines.triton.steps.names import IMAGE_BYTES, OUTPUT_JSON
from sightline_engines.types import ModelSpec
from tests.engines.encoded import png_claiming
from tests.triton.environment import TritonEnvironment
from tests.triton.tiny_classifier import CLASSES, SIDE, tiny_classifier

CONF = 0.3
TIMEOUT_S = 60.0
PROGRESSIVE = cv2.IMWRITE_JPEG_PROGRESSIVE
HOSTILE = (b"", b"no picture", png_claiming(60_000, 60_000))

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """A Triton, and what is deployed there."""

    options: TritonOptions
    client: Client
    deployments: Deployments
    webcam: ModelSpec

    def serve(self, deployment: Deployment) -> None:
        """Have the stable names lead to a deployment, at the server, too."""
        self.deployments.point(deployment)
        for name in deployment.stable:
            self.client.load(name, TIMEOUT_S)


@pytest.fixture(scope="module")
def site(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Start a Triton with the shipped model as `webcam` and a classifier as `shades`."""
    folder = tmp_path_factory.mktemp("deployments")
    deployments = Deployments(Repository(folder / "repository"))
    webcam = replace(recognise(shipped_model()), name="webcam")
    (folder / "shades.onnx").write_bytes(tiny_classifier())
    shades = ClassifierSpec(
        "shades", folder / "shades.onnx", (SIDE, SIDE), CLASSES, top_k=2, resize="squash"
    )
    config = TritonConfig(preferred_batch_sizes=(4, 8), max_queue_delay_us=20_000)
    made = [deployments.prepare(webcam, config), deployments.prepare(shades, TritonConfig())]
    with TritonServer(
        triton_environment.options(
            deployments.repository.folder, "--cache-config=local,size=33554432"
        ),
        folder / "server.log",
    ) as server:
        options = TritonOptions(server.grpc_url, server.http_url, timeout_s=TIMEOUT_S)
        with open_client(options) as client:
            running = Site(options, client, deployments, webcam)
            for deployment in made:
                running.serve(deployment)
            yield running


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> dict[str, bytes]:
    """Return pictures with things in them: JPEG, PNG, turned by EXIF."""
    found = sorted((shared_data / "coco" / "images").glob("*.jpg"))[:8]
    found += [shared_data / "images" / "orientation" / "Portrait_6.jpg"]
    pictures = {path.name: path.read_bytes() for path in found}
    image = decode_picture(pictures[found[0].name], PictureLimits())
    return pictures | {"a.png": encode_as(image, ".png")}


@pytest.fixture(scope="module")
def local(pictures: dict[str, bytes]) -> Iterator[dict[str, list[Told]]]:
    """Return what the local engine finds in each."""
    with Detector.load(engine="onnxruntime", threads=1) as detector:
        yield {
            name: detector(decode_picture(data, PictureLimits()), conf=CONF).to_dicts(
                detector.labels
            )
            for name, data in pictures.items()
        }


def fed(*pictures: bytes) -> dict[str, Any]:
    return {IMAGE_BYTES: np.array([[data] for data in pictures], np.object_)}


def told(answer: Answer) -> list[Told]:
    return [json.loads(text) for text in answer.arrays[OUTPUT_JSON].ravel()]


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def check_same(found: Sequence[Told], wanted: Sequence[Told]) -> None:
    """Compare boxes: each has its like, of the same class and score, at an IoU of 0.99."""
    assert len(found) == len(wanted)
    for one in wanted:
        best = max(found, key=lambda other: overlap(one["xyxy"], other["xyxy"]))
        assert overlap(one["xyxy"], best["xyxy"]) >= 0.99
        assert (best["class_id"], best["class_name"]) == (one["class_id"], one["class_name"])
        assert best["score"] == pytest.approx(one["score"], abs=1e-3)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_ensemble_finds_what_the_local_engine_finds(
    site: Site,
    pictures: dict[str, bytes],
    local: dict[str, list[Told]],
    protocol: Literal["grpc", "http"],
) -> None:
    assert sum(map(len, local.values())) >= 8
    with open_client(site.options, protocol) as client:
        for name, data in pictures.items():
            answer = client.infer("webcam", fed(data), parameters={"conf": str(CONF)})
            (found,) = told(answer)
            check_same(found["detections"], local[name])
            image = decode_picture(data, PictureLimits())
            assert (found["height"], found["width"]) == image.shape[:2]
            assert (found["model"], found["deployment"]) == ("webcam", 1)
            assert found["sha256"] == site.webcam.sha256
            assert answer.version == "1"


def test_the_stable_name_for_tensors_gives_the_networks_own_output(
    site: Site, pictures: dict[str, bytes]
) -> None:
    images = [decode_picture(data, PictureLimits()) for data in list(pictures.values())[:3]]
    batch = preprocess(images, site.webcam)
    facts = site.client.metadata("webcam_tensors")
    (given,), (output,) = facts.inputs, facts.outputs
    assert (given.datatype, given.shape) == ("UINT8", (-1, 416, 416, 3))
    answer = site.client.infer("webcam_tensors", {given.name: batch.tensor})
    engine = load_engine(site.webcam, "onnxruntime", threads=1)
    (wanted,) = engine.infer(batch.tensor)
    engine.close()
    np.testing.assert_allclose(answer.arrays[output.name], wanted, rtol=1e-3, atol=1e-3)


def batches(site: Site, model: str) -> tuple[int, int]:
    """Return how many inferences a model has run, in how many executions."""
    (found,) = site.client.statistics(model)
    return found["inference_count"], found["execution_count"]


def test_many_at_once_share_batches_and_none_hurts_another(
    site: Site, pictures: dict[str, bytes], local: dict[str, list[Told]]
) -> None:
    (active,) = (one for one in site.deployments.all("webcam") if one.number == 1)
    before = {name: batches(site, name) for name in active.parts}
    names = list(pictures) * 4
    asked = [
        site.client.start(
            "webcam",
            fed(pictures[name], HOSTILE[at % len(HOSTILE)]) if at % 3 == 0 else fed(pictures[name]),
            parameters={"conf": str(CONF)},
        )
        for at, name in enumerate(names)
    ]
    for at, (name, future) in enumerate(zip(names, asked, strict=True)):
        answers = told(future.result(TIMEOUT_S))
        check_same(answers[0]["detections"], local[name])
        assert len(answers) == (2 if at % 3 == 0 else 1)
        for refused in answers[1:]:
            assert refused["error"]["code"] in ("bad_picture", "unsupported_format", "too_large")
            assert refused["error"]["message"]
    sent = sum(2 if at % 3 == 0 else 1 for at in range(len(names)))
    for name in active.parts:
        inferences, executions = (
            now - then for now, then in zip(batches(site, name), before[name], strict=True)
        )
        assert inferences == sent
        assert executions < len(names)


def test_a_request_that_can_not_be_read_fails_alone_and_tells_no_path(
    site: Site, pictures: dict[str, bytes]
) -> None:
    data = next(iter(pictures.values()))
    fields = b'"shape":[1,1],"datatype":"BYTES","parameters":{"binary_data_size":%d}'
    head = b'{"parameters":{"conf":"\xff\xfe"},"inputs":[{"name":"IMAGE_BYTES",' + fields + b"}]}"
    head %= len(data) + 4
    request = urllib.request.Request(
        f"http://{site.options.http_url}/v2/models/webcam/infer",
        head + struct.pack("<I", len(data)) + data,
        {"Inference-Header-Content-Length": str(len(head))},
    )
    others = [site.client.start("webcam", fed(data)) for _ in range(4)]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=TIMEOUT_S)
    said = refused.value.read().decode()
    refused.value.close()
    assert "can't be read (UnicodeDecodeError)" in said
    assert "/" not in said
    assert "model.py" not in said
    for future in others:
        assert "detections" in told(future.result(TIMEOUT_S))[0]


def test_a_picture_that_takes_too_long_is_refused_before_it_is_decoded(site: Site) -> None:
    large = cv2.imencode(".jpg", np.full((4900, 5000, 3), 90, np.uint8), [PROGRESSIVE, 1])[1]
    data = large.tobytes()
    last = data.rfind(b"\xff\xda")
    slow = data[:last] + data[last:-2] * 80 + data[-2:]
    refused, taken = told(site.client.infer("shades", fed(slow, data)))
    assert refused["error"]["code"] == "corrupt_picture"
    assert "more than 12 scans" in refused["error"]["message"]
    assert (taken["width"], taken["height"]) == (5000, 4900)


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"conf": "1.0"}, []),
        ({"conf": "0.0001", "max_detections": 1}, 1),
        ({"conf": "0.0001", "classes": "face", "max_detections": 2}, 2),
        ({"classes": "unicorn"}, "bad_request"),
        ({"conf": 7}, "bad_request"),
    ],
)
def test_a_request_may_set_its_own_thresholds_through_the_ensemble(
    site: Site, pictures: dict[str, bytes], parameters: Mapping[str, str | int], wanted: Any
) -> None:
    data = next(iter(pictures.values()))
    (found,) = told(site.client.infer("webcam", fed(data), parameters=parameters))
    if wanted == "bad_request":
        assert found["error"]["code"] == wanted
    elif isinstance(wanted, int):
        assert len(found["detections"]) == wanted
    else:
        assert found["detections"] == wanted


def test_a_swap_and_a_rollback_change_who_answers_and_nothing_else(
    site: Site, pictures: dict[str, bytes]
) -> None:
    data = next(iter(pictures.values()))
    first = site.deployments.active("webcam")
    assert first is not None
    second = site.deployments.prepare(site.webcam, TritonConfig(warmup=False), max_batch=2)
    for deployment in (second, first):
        site.serve(deployment)
        answer = site.client.infer("webcam", fed(data))
        assert answer.version == str(deployment.number)
        assert told(answer)[0]["deployment"] == deployment.number
        assert site.deployments.active("webcam") == deployment


def test_a_model_of_a_fixed_batch_of_one_serves_too(
    site: Site, pictures: dict[str, bytes], local: dict[str, list[Told]], tmp_path: Path
) -> None:
    model = onnx.load(site.webcam.path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "single.onnx")
    spec = replace(
        site.webcam, name="single", path=tmp_path / "single.onnx", static_batch=1, sha256=""
    )
    made = site.deployments.prepare(spec, TritonConfig())
    site.serve(made)
    assert all(batches(site, name)[0] > 0 for name in made.parts[:2])  # warmed up
    for name in list(pictures)[:2]:
        answer = site.client.infer("single", fed(pictures[name]), parameters={"conf": str(CONF)})
        check_same(told(answer)[0]["detections"], local[name])


def test_a_response_that_is_kept_holds_to_each_requests_own_thresholds(
    site: Site, pictures: dict[str, bytes]
) -> None:
    spec = replace(site.webcam, name="kept")
    made = site.deployments.prepare(spec, TritonConfig(response_cache=True))
    site.serve(made)
    data = next(iter(pictures.values()))
    counts = []
    for conf in ("1.0", "0.0001"):
        answer = site.client.infer("kept", fed(data), parameters={"conf": conf})
        counts.append(len(told(answer)[0]["detections"]))
    (found,) = site.client.statistics(made.detector)
    assert found["inference_stats"]["cache_hit"]["count"] == 1
    assert counts[0] == 0 < counts[1]


@pytest.mark.parametrize(("bgr", "label"), [((0, 0, 250), "red"), ((250, 0, 0), "blue")])
def test_a_classifier_names_the_likeliest_classes(
    site: Site, bgr: tuple[int, int, int], label: str
) -> None:
    data = cv2.imencode(".jpg", np.full((90, 50, 3), bgr, np.uint8))[1].tobytes()
    answers = told(site.client.infer("shades", fed(data, b"no picture", data)))
    for found in (answers[0], answers[2]):
        assert found["classes"][0]["class_name"] == label
        assert len(found["classes"]) == 2
        assert found["classes"][0]["score"] > found["classes"][1]["score"]
        assert (found["model"], found["width"], found["height"]) == ("shades", 50, 90)
    assert answers[1]["error"]["code"] == "unsupported_format"
    (all_of_them,) = told(site.client.infer("shades", fed(data), parameters={"top_k": 4}))
    assert {one["class_name"] for one in all_of_them["classes"]} == set(CLASSES)
    assert sum(one["score"] for one in all_of_them["classes"]) == pytest.approx(1, abs=1e-3)


def test_triton_serves_each_config_as_it_was_written(site: Site) -> None:
    active = site.deployments.active("webcam")
    assert active is not None
    served = site.client.config(active.detector)
    assert list(served.dynamic_batching.preferred_batch_size) == [4, 8]
    assert served.dynamic_batching.max_queue_delay_microseconds == 20_000
    assert served.max_batch_size == 8
    assert [one.batch_size for one in served.model_warmup] == [1, 8]
    assert served.parameters["sightline_model"].string_value == "webcam"
