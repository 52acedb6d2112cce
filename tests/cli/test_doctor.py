"""`sightline doctor`: each thing it looks at, well and ill."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_backend.cli.checks import backend, camera, gpu, ice, model, python, stun
from sightline_backend.cli.checks.check import State
from sightline_backend.store.models import ModelStore
from sightline_engines import assets
from sightline_engines.assets import SHIPPED_PRECISIONS, shipped_model
from sightline_engines.benchmark.cells import CellResult, Spread
from sightline_engines.benchmark.run import Trial
from sightline_engines.convert.options import Converted, ConvertOptions, Parity
from sightline_engines.device import nvidia_gpus
from sightline_engines.errors import ModelFileError
from sightline_engines.progress import quiet
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.cli.conftest import Run
from tests.cli.running import free_port, running
from tests.models import file_server
from tests.models.file_server import Script, serving


@pytest.fixture
def ports() -> tuple[str, ...]:
    """Return options for two ports that are free."""
    return "--backend-port", str(free_port()), "--frontend-port", str(free_port())


def test_a_healthy_machine_gets_a_line_a_thing_and_status_0(
    run: Run, ports: tuple[str, ...]
) -> None:
    result = run("doctor", *ports)
    assert result.exit_code == 0, result.stdout
    for name in ("python", "model", "gpu", "openvino on cpu", "server", "camera", "secure context"):
        assert name in result.stdout
    assert "auto takes th" in result.stdout


def test_json_is_for_programs(run: Run, ports: tuple[str, ...]) -> None:
    checks = json.loads(run("doctor", "--json", *ports).stdout)
    assert {tuple(check) for check in checks} == {("name", "state", "found", "mend")}
    assert all(check["mend"] for check in checks if check["state"] in ("warn", "fail"))
    assert not [check for check in checks if check["state"] == "ok" and "can't" in check["found"]]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--model", "no-such", "sightline models list"),
        ("--device", "cuda:9", "SIGHTLINE_DEVICE"),
    ],
)
def test_what_cannot_serve_is_a_failure_with_a_way_out(
    run: Run, ports: tuple[str, ...], option: str, value: str, said: str
) -> None:
    result = run("doctor", *ports, option, value)
    assert result.exit_code == 1
    assert said in result.stdout


@pytest.mark.slow
def test_a_running_stack_is_recognised(run: Run) -> None:
    with running() as stack:
        stack.wait_until_announced()
        given = ("--backend-port", str(stack.backend_port))
        checks = json.loads(
            run("doctor", "--json", *given, "--frontend-port", str(stack.frontend_port)).stdout
        )
    found = {check["name"]: check["found"] for check in checks}
    assert "sightline-webcam on" in found["server"]
    assert "answer at" in found["pages"]


def test_without_a_gpu_the_gpu_check_says_what_is_missing_and_begins_nothing(run: Run) -> None:
    if nvidia_gpus():
        pytest.skip("this machine has a GPU")
    result = run("doctor", "--gpu", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert set(checks) == {
        "gpu driver", "tensorrt", "onnxruntime cuda", "onnxruntime tensorrt", "model",
    }  # fmt: skip
    assert "no NVIDIA GPU is seen" in checks["gpu driver"]["found"]
    assert "no plan can be built" in checks["tensorrt"]["found"]
    assert "onnx-gpu" in checks["onnxruntime cuda"]["found"]
    assert all("docs/gpu.md" in c["mend"] for c in checks.values() if c["state"] == "fail")


@pytest.mark.parametrize(
    ("names", "state", "said"),
    [
        ([], State.FAIL, "there are none"),
        (["labels/a.txt"], State.FAIL, "there are none"),
        (["a.jpg", "below/b.PNG", "below/b.txt"], State.OK, "2 in "),
    ],
)
def test_the_pictures_of_a_folder_are_found(
    tmp_path: Path, names: list[str], state: State, said: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths, check = gpu.pictures_in(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        name for name in names if not name.endswith(".txt")
    ]
    assert check.state is state
    assert said in check.found


def test_a_folder_without_pictures_is_a_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("doctor", "--gpu", "--json", "--data", tmp_path / "empty")
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert "leave --data out" in checks["pictures"]["mend"]
    assert run("doctor", "--gpu", "--data", tmp_path / "gone").exit_code == 2


@pytest.mark.parametrize("named", [False, True])
def test_what_was_tried_on_a_gpu_is_a_line_each_and_a_failure_keeps_its_reason(
    named: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = recognise(shipped_model())
    made = replace(spec, precision="fp16")
    parity = Parity(12, 40, 0.99, 0.98, 0.001, 0.98)
    asked: list[str] = []
    pictures = [tmp_path / "real.jpg"] if named else []

    def convert(
        source: ModelSpec, options: ConvertOptions, given: Sequence[Path], *_: object
    ) -> Converted:
        asked.append(options.precision)
        assert given == pictures if named else len(given) == 64
        if options.precision == "fp32":
            raise ModelFileError("TensorRT can't build it")
        return Converted(made, parity)

    def run_matrix(trials: list[Trial], *_: object) -> list[CellResult]:
        times = Spread.of([2.0, 2.0, 2.0])
        done = [CellResult(t.cell, "done", engine_ms=times, pipeline_fps=400.0) for t in trials]
        return [*done[:-1], CellResult(trials[-1].cell, "failed", "out of memory")]

    monkeypatch.setattr("sightline_engines.convert.convert.convert", convert)
    monkeypatch.setattr("sightline_engines.benchmark.run.run_matrix", run_matrix)
    rows = gpu.try_gpu(spec, quiet, pictures)
    checks = {check.name: check for check in gpu.rows_as_checks(rows)}
    assert asked == ["fp32", "fp16", "int8"]
    assert checks["tensorrt fp32, batch 0"].found == "TensorRT can't build it"
    drawn = "" if named else ", calibrated on drawn pictures"
    said = f"2.00 ms, 400 pictures/s, 99.0% of boxes agree{drawn}"
    assert checks["tensorrt int8, batch 1"].found == said
    assert ("--data" in checks["tensorrt int8, batch 8"].mend) != named
    ran = checks["tensorrt fp16, batch 1"]
    assert (ran.state, ran.found) == (State.OK, "2.00 ms, 400 pictures/s, 99.0% of boxes agree")
    assert checks["onnxruntime on tensorrt fp32, batch 1"].found == "2.00 ms, 400 pictures/s"
    assert [check.found for check in checks.values()].count("out of memory") == 1


def test_a_stranger_on_the_port_is_told_from_sightline() -> None:
    with serving(Script(b"hello", [file_server.whole])) as url:
        port = int(url.split(":")[2].split("/")[0])
        check = backend.check_backend("127.0.0.1", port)
    assert check.state is State.FAIL
    assert "BACKEND_PORT=" in check.mend


def test_a_port_held_by_something_silent_is_a_failure() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        check = backend.check_backend("127.0.0.1", port)
        pages = backend.check_pages("127.0.0.1", port)
    assert (check.state, pages.state) == (State.FAIL, State.FAIL)
    assert "FRONTEND_PORT=" in pages.mend


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 10), State.FAIL),
        ((3, 11), State.OK),
        ((3, 13), State.OK),
        ((3, 14), State.FAIL),
        ((4, 0), State.FAIL),
    ],
)
def test_pythons_are_told_apart(version: tuple[int, int], state: State) -> None:
    assert python.check_python(version).state is state


def test_a_machine_without_camera_is_a_warning() -> None:
    assert camera.check_camera([], "Linux").state is State.WARN


def test_a_camera_that_can_be_opened_is_fine(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    assert camera.check_camera([device], "Linux").state is State.OK


def test_a_camera_of_another_group_names_the_group(tmp_path: Path) -> None:
    check = camera.check_camera([tmp_path / "gone0"], "Linux")
    assert check.state is State.FAIL
    assert "usermod -aG video" in check.mend


@pytest.mark.parametrize(
    ("host", "state"),
    [
        ("127.0.0.1", State.OK),
        ("localhost", State.OK),
        ("::1", State.OK),
        ("0.0.0.0", State.WARN),
        ("192.0.2.7", State.WARN),
    ],
)
def test_only_this_machine_is_a_secure_context_without_https(host: str, state: State) -> None:
    assert camera.check_secure_context(host, 8501).state is state


def test_a_damaged_model_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.onnx").write_bytes(b"damaged")
    (check,) = model.check_added(ModelStore(tmp_path))
    assert check.state is State.WARN
    assert check.mend == "sightline models remove mine"


def test_what_an_install_lacks_is_named_and_not_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    checks = model.check_added(ModelStore(tmp_path / "models"))
    assert [check.name for check in checks] == [f"model {name}" for name in SHIPPED_PRECISIONS]
    for check in checks:
        assert "Install sightline-engines again" in check.found
        assert "remove" not in check.mend


@contextmanager
def stun_server(answer: bytes | None) -> Iterator[int]:
    """Answer one binding request well (None) or with given bytes; gives the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def serve() -> None:
            request, client = server.recvfrom(2048)
            good = b"\x01\x01\x00\x00" + request[4:20]
            server.sendto(good if answer is None else answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_stun_server_that_answers_is_fine() -> None:
    with stun_server(None) as port:
        assert ice.check_server(f"stun:127.0.0.1:{port}").state is State.OK


def test_an_answer_to_something_else_does_not_count() -> None:
    with stun_server(b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)) as port:
        assert not stun.answers("127.0.0.1", port, timeout_s=0.3)


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("", State.FAIL),
        ("http://example.org", State.FAIL),
        ("stun:", State.FAIL),
        ("stun:127.0.0.1:1", State.FAIL),
        ("turn:127.0.0.1:1?transport=tcp", State.FAIL),
        ("turns:turn.example.org", State.WARN),
    ],
)
def test_an_ice_server_is_told_by_its_address(url: str, state: State) -> None:
    assert ice.check_server(url).state is state


@pytest.mark.parametrize("setting", ["nonsense", "{}", '[{"url": "stun:x"}]'])
def test_a_wrong_ice_setting_is_a_failure_with_an_example(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("SIGHTLINE_ICE_SERVERS", setting)
    check = ice.check_ice()[-1]
    assert check.state is State.FAIL
    assert '"urls"' in check.mend


def test_no_ice_server_is_fine_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGHTLINE_ICE_SERVERS", raising=False)
    check = ice.check_ice()[-1]
    assert check.state is State.OK
    assert "SIGHTLINE_ICE_SERVERS" in check.found
