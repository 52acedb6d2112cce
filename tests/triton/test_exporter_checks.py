"""What can't run on this machine is told before any work starts, with how to fix it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from sightline_backend.cli.triton_export import export
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.exporter import checks, create_exporter
from sightline_engines.exporter.checks import local_server
from sightline_engines.exporter.source import open_source
from sightline_engines.triton.server import TritonServer
from tests.triton.environment import TritonEnvironment
from tests.triton.exported import PICTURE, classifier, import_torch, write_samples

SILENT = "127.0.0.1:1"  # nobody listens there


class Untouched:
    """A module that fails at whatever is asked of it."""


def refused(folder: Path, *, skips: dict[str, Any] | None = None, **words: Any) -> str:
    """Return what a pipeline says that can't be begun, and see that it left nothing."""
    given: dict[str, Any]
    given = {"repository": folder, "output": folder / "out", "triton_url": SILENT}
    given.update(words)
    module: Any = Untouched()
    told = list[str]()
    exporter = create_exporter(module, "m", **given)
    with pytest.raises(ProviderError, match="Nothing was begun: ") as caught:
        exporter.deploy_full_pipeline(**(skips or {}), progress=lambda _, doing: told.append(doing))
    assert told == []
    assert not (folder / "out").exists()
    return caught.value.message


def test_a_triton_that_does_not_answer_is_told_with_three_ways_out(tmp_path: Path) -> None:
    said = refused(tmp_path)
    assert f"No Triton answers grpc at {SILENT}" in said
    for way in ("start it", "--triton-url", "--start-server"):
        assert way in said
    assert "No Triton answers http" in refused(tmp_path, protocol="http")


@pytest.mark.parametrize(
    ("words", "skips", "said"),
    [
        ({"repository": None}, {}, "There is no repository: name the folder"),
        ({"precision": "int8"}, {}, "give calibration (--calibration samples.npz)"),
        ({}, {"skip_export": True}, "m.onnx isn't there: put the ONNX file there"),
        (
            {"platform": "tensorrt_plan"},
            {"skip_trt": True},
            "m.plan isn't there: leave --skip-trt away",
        ),
        ({"preferred_batch_sizes": (4, 16)}, {}, "has 16, but max_batch_size is 8"),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, words: dict[str, Any], skips: dict[str, Any], said: str
) -> None:
    assert said in refused(tmp_path, skips=skips, **words)


def test_everything_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, repository=None, precision="int8", platform="tensorrt_plan")
    for part in ("no repository", "INT8 needs", "tensorrt_plan needs a plan", "No Triton"):
        assert part in said


def test_a_repository_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    assert "is no folder" in refused(tmp_path, repository=tmp_path / "file")
    assert "isn't there" in refused(tmp_path, repository=tmp_path / "gone")


def test_a_plan_without_a_gpu_or_with_unbounded_sides_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "can_build", lambda: "no NVIDIA GPU is seen")
    said = refused(
        tmp_path,
        platform="tensorrt_plan",
        input_shapes=PICTURE,
        dynamic_axes={"input": {2: "height"}},
    )
    assert "can't be built here: no NVIDIA GPU is seen. Build on the machine that serves" in said
    assert "--axis-range height:1..512" in said


@pytest.mark.parametrize(
    ("library", "extra"),
    [("torch", "torch"), ("onnxslim", "convert"), ("tritonclient", "triton")],
)
def test_a_library_that_is_missing_is_told_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, extra: str
) -> None:
    def found(name: str) -> object:
        return None if name == library else SimpleNamespace()

    monkeypatch.setattr(checks, "find_spec", found)
    assert f"sightline-engines[{extra}]" in refused(tmp_path)


def test_a_server_that_is_not_on_this_machine_can_not_be_started(tmp_path: Path) -> None:
    server = local_server(tmp_path, tmp_path / "tritonserver")
    said = refused(tmp_path, skips={"server": server})
    assert "There is no tritonserver on the PATH" in said
    assert "NVIDIA's Triton image" in said
    assert "No Triton answers" not in said  # which one would be asked isn't there yet


# --- the command line -----------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Return what runs `sightline triton export` in an empty folder: (status, what it said)."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(export)

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input", "x"], "--input 'x': write it as name:3x224x224"),
        (["--opset-version", "7"], "opset_version is 7"),
        (["--triton-url", "http://x"], "write it as host:port"),
        (["--instance-count", "0"], "instance_count must be"),
        (["--gpus", "first"], "--gpus 'first'"),
        (["--preferred-batch-sizes", "8,4"], "rising numbers"),
        (["--dynamic-axes", "y:2=h"], "there is no input 'y'"),
    ],
)
def test_a_word_that_does_not_fit_is_told_in_a_sentence(
    command: Callable[..., tuple[int, str]], words: list[str], said: str
) -> None:
    status, output = command("mine:make", "--model-name", "m", *words)
    assert (status, said in output) == (1, True), output


def test_the_model_is_not_opened_where_the_rest_can_not_run(
    command: Callable[..., tuple[int, str]],
) -> None:
    status, output = command("gone.py:make", "--model-name", "m", "--triton-url", SILENT)
    assert status == 1
    assert "Nothing was begun" in output
    assert "gone" not in output


def test_a_file_is_opened_by_what_it_is(tmp_path: Path) -> None:
    torch = import_torch()
    assert open_source("some/model.onnx") == Path("some/model.onnx")
    module = classifier().eval()
    torch.save(module, tmp_path / "pickled.pt")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.trace(module, torch.zeros(1, 3, 32, 32)).save(tmp_path / "script.pt")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelFileError, match=r"is a pickle: a program .*--allow-pickle"):
        open_source(str(tmp_path / "pickled.pt"))
    for named, pickled in (("pickled.pt", True), ("script.pt", False)):
        opened = open_source(str(tmp_path / named), allow_pickle=pickled)
        assert isinstance(opened, torch.nn.Module)
    with pytest.raises(ModelFileError, match="weights alone"):
        open_source(str(tmp_path / "weights.pt"), allow_pickle=True)
    with pytest.raises(ModelFileError, match="can't be read"):
        open_source(str(tmp_path / "gone.pt"))


def test_a_factory_is_called_from_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = import_torch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_exported_code.py").write_text(
        "import torch\nready = torch.nn.Linear(3, 2)\n\ndef make():\n    return ready\n\n"
        "def other():\n    return 7\n"
    )
    before = list(sys.path)
    for factory in ("make", "ready"):
        assert isinstance(open_source(f"own_exported_code:{factory}"), torch.nn.Module)
    for named, said in (
        ("own_exported_code:other", "gives a int"),
        ("own_exported_code:none", "has no none"),
        ("not_there_at_all:make", "can't be imported"),
        ("neither", "neither a file"),
        ("a b:make", "neither a file"),
        ("", "neither a file"),
    ):
        with pytest.raises(ModelFileError, match=said):
            open_source(named)
    assert sys.path == before
    del sys.modules["own_exported_code"]


def test_the_command_starts_a_server_deploys_measures_and_ends_it(
    command: Callable[..., tuple[int, str]],
    tmp_path: Path,
    triton_environment: TritonEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = import_torch()
    module = classifier().eval()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.trace(module, torch.zeros(1, 3, 32, 32)).save(tmp_path / "script.pt")
    monkeypatch.setenv("PATH", triton_environment.python_path)
    started = list[int | None]()
    start = TritonServer.start

    def watched(server: TritonServer) -> None:
        start(server)
        started.append(server.pid)

    monkeypatch.setattr(TritonServer, "start", watched)
    status, output = command(
        *("script.pt", "--model-name", "scripted", "--precision", "int8", "--max-batch-size", "4"),
        *("--input", "input:3x32x32", "--calibration", str(write_samples(tmp_path / "s.npz"))),
        *("--num-requests", "20", "--num-warmup-requests", "2", "--concurrency", "2"),
        *("--target-latency-ms", "60000", "--gpus", "cpu", "--protocol", "http", "--json"),
        *("--start-server", "--server-program", str(triton_environment.program)),
        *("--repository", "repository"),
    )
    assert status == 0, output
    told = json.loads(output[output.index("{") : output.rindex("}") + 1])
    assert told["benchmark"]["requests"] == 20
    assert told["benchmark"]["target_met"] is True
    assert told["onnx"]["precision"] == "int8"
    assert (tmp_path / "repository" / "scripted" / "1" / "model.onnx").is_file()
    assert (tmp_path / "export" / "scripted.onnx").is_file()
    (pid,) = started
    assert subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 1
