"""From a module to an answering Triton in one call, against a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline_engines.convert.parity import ParityError
from sightline_engines.errors import DeployError
from sightline_engines.exporter import ServingExporter, create_exporter
from sightline_engines.exporter import deploy as deploying
from sightline_engines.triton.client import Client, open_client
from sightline_engines.triton.config import read_config
from sightline_engines.triton.control import Control
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import TritonServer
from sightline_engines.triton.turn import TakenError, model_turn
from tests.triton.environment import TritonEnvironment
from tests.triton.exported import (
    PAIR,
    PICTURE,
    answered_by,
    classifier,
    import_torch,
    pair,
    pictures,
)


@dataclass(frozen=True)
class Place:
    """A running Triton, its repository and a folder for exports."""

    server: TritonServer
    repository: Path
    output: Path

    def exporter(self, model: Any, name: str, **words: Any) -> ServingExporter:
        """Return an exporter to this Triton."""
        words = {"num_requests": 20, "num_warmup_requests": 2, "input_shapes": PICTURE} | words
        http = words.get("protocol") == "http"
        url = self.server.http_url if http else self.server.grpc_url
        places = {"repository": self.repository, "output": self.output}
        return create_exporter(model, name, triton_url=url, **places, **words)  # type: ignore[arg-type]

    def client(self) -> Client:
        """Return a client of it."""
        return open_client(TritonOptions(grpc_url=self.server.grpc_url, timeout_s=20))

    def files(self, name: str) -> dict[str, bytes]:
        """Return what a model's folder holds."""
        folder = self.repository / name
        return {
            str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }


@pytest.fixture(scope="module")
def place(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    import_torch()
    folder = tmp_path_factory.mktemp("export")
    (folder / "repository").mkdir()
    options = triton_environment.options(folder / "repository")
    with TritonServer(options, folder / "tritonserver.log") as server:
        yield Place(server, folder / "repository", folder / "output")


def test_a_classifier_goes_from_module_to_equal_answers_in_one_call(place: Place) -> None:
    module = classifier()
    told: list[float] = []
    exporter = place.exporter(
        module,
        "classes",
        dynamic_axes={"input": {2: "height", 3: "width"}},
        preferred_batch_sizes=(4, 8),
        max_queue_delay_us=100,
        target_latency_ms=60_000.0,
    )
    done = exporter.deploy_full_pipeline(progress=lambda share, _: told.append(share))
    assert module.training
    assert told == sorted(told)
    with place.client() as client:
        for feed in (*pictures(2), *pictures(1, batch=8), *pictures(1, batch=2, side=48)):
            answer = client.infer("classes", feed)
            expected = answered_by(module, feed).numpy()
            np.testing.assert_allclose(answer.arrays["output0"], expected, rtol=0, atol=1e-4)
            assert answer.version == "1"
    config = read_config((place.repository / "classes" / "config.pbtxt").read_text())
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.version_policy.latest.num_versions == 1
    assert (done.files.version, done.deployed.version) == (1, 1)
    assert done.files.model.sha256 == done.onnx.file.sha256
    assert done.files.model.path == place.repository / "classes" / "1" / "model.onnx"
    assert done.deployed.parity.error < 1e-4
    assert done.plan is None
    assert done.benchmark is not None
    assert (done.benchmark.requests, done.benchmark.failures) == (20, 0)
    assert done.benchmark.target_met is True
    assert done.benchmark.server_ms["infer"] > 0
    plain = done.to_dict()
    assert plain["onnx"]["file"]["path"] == str(done.onnx.file.path)


def test_two_inputs_and_two_named_outputs_go_the_same_way_over_http(place: Place) -> None:
    module = pair()
    exporter = place.exporter(module, "pair", protocol="http", **PAIR)
    done = exporter.deploy_full_pipeline()
    assert [port.name for port in done.onnx.outputs] == ["score", "hidden"]
    feed: dict[str, NDArray[Any]] = {
        "ids": np.arange(12).reshape(2, 6),
        "dense": np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8),
    }
    expected = answered_by(module, feed)
    with place.client() as client:
        arrays = client.infer("pair", feed).arrays
    for name, value in expected.items():
        np.testing.assert_allclose(arrays[name], value.numpy(), rtol=0, atol=1e-4)
    assert done.benchmark is not None
    assert done.benchmark.target_met is None


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_precision_answers_nearly_alike(place: Place, precision: str) -> None:
    module = classifier()
    exporter = place.exporter(module, f"classes-{precision}", precision=precision)
    exporter.calibration = pictures(16)
    done = exporter.deploy_full_pipeline(skip_benchmark=True)
    assert (done.onnx.precision, done.benchmark) == (precision, None)
    feed = pictures(1)[0]
    expected = answered_by(module, feed).numpy()
    with place.client() as client:
        found = client.infer(f"classes-{precision}", feed).arrays["output0"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 * np.abs(expected).max())
    assert np.abs(found - expected).max() > 0


def test_the_next_export_is_a_new_version_and_no_request_is_lost(place: Place) -> None:
    place.exporter(classifier(1), "swapped").deploy_full_pipeline(skip_benchmark=True)
    feed, seen, stop = pictures(1)[0], list[str](), threading.Event()
    failures = list[Exception]()

    def ask() -> None:
        with place.client() as client:
            while not stop.is_set():
                try:
                    seen.append(client.infer("swapped", feed).version)
                except Exception as error:  # which one is what the test tells
                    failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        second = classifier(2)
        done = place.exporter(second, "swapped").deploy_full_pipeline(skip_benchmark=True)
    finally:
        stop.set()
        asking.join(30)
    assert failures == []
    assert done.files.version == 2
    assert seen[0] == "1"
    assert seen == sorted(seen)
    with place.client() as client:
        answer = client.infer("swapped", feed)
    assert answer.version == "2"
    expected = answered_by(second, feed).numpy()
    np.testing.assert_allclose(answer.arrays["output0"], expected, rtol=0, atol=1e-4)
    assert {"1/model.onnx", "2/model.onnx"} < set(place.files("swapped"))


def test_other_models_are_changed_while_an_export_loads(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, real = Repository(place.repository), Control.load
    seen = list[str]()

    def load(control: Control, name: str, *rest: Any) -> None:
        with repository.locked(0.0), pytest.raises(TakenError), model_turn(repository, name, 0.0):
            pytest.fail("two changes of one model")
        seen.append(name)
        real(control, name, *rest)

    monkeypatch.setattr(Control, "load", load)
    place.exporter(classifier(), "beside").deploy_full_pipeline(skip_benchmark=True)
    assert seen == ["beside"]


def test_a_failed_load_leaves_the_old_version_answering_and_its_files(place: Place) -> None:
    module = classifier(3)
    place.exporter(module, "kept").deploy_full_pipeline(skip_benchmark=True)
    before, feed = place.files("kept"), pictures(1)[0]
    failing = place.exporter(classifier(4), "kept", gpus=(7,))  # a GPU that isn't there
    with pytest.raises(DeployError, match="gpu id 7"):
        failing.deploy_full_pipeline()
    assert place.files("kept") == before
    with place.client() as client:
        answer = client.infer("kept", feed)
    assert answer.version == "1"
    expected = answered_by(module, feed).numpy()
    np.testing.assert_allclose(answer.arrays["output0"], expected, rtol=0, atol=1e-4)


def test_a_first_version_that_cannot_be_loaded_leaves_nothing(place: Place) -> None:
    with pytest.raises(DeployError, match="gpu id 7"):
        place.exporter(classifier(), "never", gpus=(7,)).deploy_full_pipeline()
    assert not (place.repository / "never").exists()


def test_a_version_that_answers_otherwise_gives_way_to_the_one_before(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, feed = classifier(5), pictures(1)[0]
    place.exporter(module, "checked").deploy_full_pipeline(skip_benchmark=True)
    before = place.files("checked")
    real: Callable[..., Any] = deploying.deploy_version

    def expects_more(*given: Any) -> Any:
        *rest, reference = given
        more = [{n: a + 1 for n, a in answer.items()} for answer in reference.answers]
        return real(*rest, replace(reference, answers=more))

    monkeypatch.setattr("sightline_engines.exporter.exporter.deploy_version", expects_more)
    with pytest.raises(ParityError, match="doesn't answer as the PyTorch module does"):
        place.exporter(classifier(6), "checked").deploy_full_pipeline()
    assert place.files("checked") == before
    with place.client() as client:
        answer = client.infer("checked", feed)
    assert answer.version == "1"
    expected = answered_by(module, feed).numpy()
    np.testing.assert_allclose(answer.arrays["output0"], expected, rtol=0, atol=1e-4)


def test_steps_are_left_out_and_a_target_that_is_not_met_is_told(place: Place) -> None:
    first = place.exporter(classifier(), "skipping")
    made = first.export_onnx()
    assert made.parity is not None
    done = place.exporter(
        None, "skipping", target_latency_ms=1e-6, concurrency=2
    ).deploy_full_pipeline(skip_export=True)
    assert (done.onnx.parity, done.onnx.file) == (None, made.file)
    assert done.deployed.parity.source == "skipping.onnx"
    assert done.benchmark is not None
    assert (done.benchmark.target_met, done.benchmark.concurrency) == (False, 2)


def test_steps_can_be_taken_one_by_one(place: Place) -> None:
    exporter = place.exporter(classifier(), "stepwise", max_batch_size=2)
    exporter.export_onnx()
    files = exporter.generate_triton_config()
    assert files.text == (place.repository / "stepwise" / "config.pbtxt").read_text()
    assert read_config(files.text).max_batch_size == 2
    again, deployed = exporter.deploy()
    assert (files.version, again.version, deployed.version) == (1, 2, 2)
    assert exporter.benchmark().requests == 20


def test_a_deployment_s_parts_are_not_written_over(place: Place) -> None:
    folder = place.repository / "webcam__1__detector"
    folder.mkdir()
    text = 'parameters { key: "sightline_part" value { string_value: "network" } }'
    (folder / "config.pbtxt").write_text(text)
    with pytest.raises(DeployError, match="but the network of a deployment"):
        place.exporter(classifier(), "webcam__1__detector").deploy_full_pipeline()
    assert [path.name for path in folder.iterdir()] == ["config.pbtxt"]
