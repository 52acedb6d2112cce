"""What a step brings along into Triton's Python, and what it refuses to run on."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sightline_engines.triton.steps.names import OUTPUT_JSON
from sightline_engines.triton.steps.step import PictureFacts
from sightline_engines.triton.vendor import MODULES, vendored
from tests.triton import stub
from tests.triton.asking import raw
from tests.triton.environment import TritonEnvironment

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
LEFT_HALF = (0.0, 0.0, 32.0, 48.0, 0.9, 0.0)
RIGHT_HALF = (32.0, 0.0, 64.0, 48.0, 0.4, 1.0)


def test_a_step_carries_all_that_it_imports_and_nothing_else(tmp_path: Path) -> None:
    for path, text in vendored().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    script = Path(__file__).with_name("step_alone.py")
    done = subprocess.run(
        [sys.executable, "-I", script, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    files = {path for path in vendored() if path != "model.py"}
    assert set(told["ours"]) == files
    assert told["heavy"] == []
    assert {f"sightline_engines/{module}.py" for module in MODULES} <= files


def test_any_python_can_read_the_file_that_says_it_is_too_old() -> None:
    ast.parse(vendored()["model.py"], feature_version=(3, 7))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return model.py as Triton's Python backend would import it."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stub)
    path = tmp_path / "model.py"
    path.write_text(vendored()["model.py"])
    spec = importlib.util.spec_from_file_location("a_step", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_python_that_is_too_old_is_told_what_to_install(
    model: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "OLDEST", (99, 0))
    with pytest.raises(stub.TritonModelException, match=r"Python 3\.\d+ runs this.*3.11 or newer"):
        model.check_python()


def test_a_library_that_is_missing_is_named(
    model: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(stub.TritonModelException, match=r"cv2 can't be imported.*opencv-python"):
        model.check_python()


def test_numpy_2_is_refused_where_the_backend_was_built_before_it(
    model: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"\0numpy.core.multiarray\0")
    new.write_bytes(b"\0numpy.core.multiarray\0numpy._core\0")
    monkeypatch.setattr(np, "__version__", "2.1.0")
    model.check_python(str(new))
    model.check_python(str(tmp_path / "not there"))
    with pytest.raises(stub.TritonModelException, match=r"breaks with numpy 2\.1\.0.*numpy<2"):
        model.check_python(str(old))
    monkeypatch.setattr(np, "__version__", "1.26.4")
    model.check_python(str(old))


def test_the_tests_own_triton_is_known_to_break_with_numpy_2(
    model: ModuleType, triton_environment: TritonEnvironment
) -> None:
    stub_file = triton_environment.backends / "python" / "triton_python_backend_stub"
    assert not model.knows_numpy_2(str(stub_file))


def test_a_model_runs_the_step_that_its_folder_describes(
    model: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(model, "check_python", lambda: None)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "spec.json").write_text(json.dumps(BOXES))
    step = model.TritonPythonModel()
    step.initialize({"model_repository": str(tmp_path), "model_version": "1"})
    facts = PictureFacts(width=64, height=48)
    good = stub.InferenceRequest(raw(facts).arrays, conf=0.3)
    broken = stub.InferenceRequest({**raw(facts).arrays, "raw": np.zeros((2, 2), np.float32)})
    first, second, third = step.execute([good, broken, good])
    garbled, missing = stub.InferenceRequest(raw(facts).arrays), stub.InferenceRequest({})
    garbled.undecodable = b'{"top_k": "\xff\xfe"}'
    unread, alone, fourth = step.execute([garbled, missing, good])
    (only,) = step.execute([garbled])
    monkeypatch.setattr(step.step, "run", lambda fed: [][len(fed)])
    (fallen,) = step.execute([good])
    step.finalize()
    assert fourth.error is None
    for failed in (unread, alone, only, fallen):
        assert failed.arrays == {}
        assert str(failed.error).startswith(("The request can't be read (", "The step failed ("))
        assert "/" not in str(failed.error)
        assert "Traceback" not in str(failed.error)
    (text,) = first.arrays[OUTPUT_JSON].ravel()
    assert [one["class_id"] for one in json.loads(text)["detections"]] == [0, 1]
    assert first.error is None
    assert third.error is None
    assert second.arrays == {}
    assert second.error is not None
