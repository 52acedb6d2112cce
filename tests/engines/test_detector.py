"""The Python API, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sightline_engines
from sightline_engines import assets
from sightline_engines.assets import shipped_model
from sightline_engines.detector import Detector
from sightline_engines.errors import EngineError, ModelFileError, PictureError
from sightline_engines.load import EngineName
from sightline_engines.pipeline import class_ids
from tests.engines.encoded import encoded, scene
from tests.engines.tiny import constant_model

BOXES = np.array(
    [[0, 0, 32, 32, 0.9, 0], [8, 8, 64, 64, 0.6, 1], [8, 8, 60, 60, 0.3, 1], [0, 0, 9, 9, 0.1, 0]]
)
NAMES = {"names": "['cat', 'dog']", "end2end": "True"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return constant_model(tmp_path / "pets.onnx", BOXES, metadata=NAMES)


def test_a_picture_or_its_path_is_detected_in(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(scene(64, 64), "PNG"))
    with Detector.load(model, threads=1) as detector:
        assert detector.labels == ("cat", "dog")
        for picture in (scene(64, 64), tmp_path / "a.png", str(tmp_path / "a.png")):
            found = detector(picture)
            assert found.score.tolist() == pytest.approx([0.9, 0.6, 0.3])
        assert len(detector(scene(64, 64), conf=0.5)) == 2
        assert len(detector(scene(64, 64), conf=0.0)) == 4
        assert detector(scene(64, 64), classes=["dog"]).class_id.tolist() == [1, 1]
        assert len(detector(scene(64, 64), max_detections=1)) == 1
        with pytest.raises(ValueError, match="no class 'bird'; it knows cat, dog"):
            detector(scene(64, 64), classes=["bird"])
        with pytest.raises(PictureError, match="can't be read"):
            detector(tmp_path / "none.png")
    with pytest.raises(EngineError, match="closed"):
        detector(scene(64, 64))


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], None), (["dog"], {1}), (["dog", "cat"], {0, 1}), (["dog", "dog"], {1})],
)
def test_class_names_become_numbers(names: list[str], expected: set[int] | None) -> None:
    found = class_ids(("cat", "dog"), names)
    assert found == (None if expected is None else frozenset(expected))


def test_the_shipped_model_loads_by_its_name_and_by_default() -> None:
    shipped_model()
    with Detector.load(threads=2) as detector:
        assert detector.engine.served.name == "sightline-webcam"
        assert set(detector.labels) == {"person", "face"}
        assert len(detector(np.zeros((480, 640, 3), np.uint8))) == 0


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_int8_file_that_ships_loads_by_its_name(engine: EngineName) -> None:
    with Detector.load("sightline-webcam-int8", engine, device="cpu", threads=2) as detector:
        served = detector.engine.served
        assert (served.name, detector.engine.spec.precision) == ("sightline-webcam-int8", "int8")
        assert detector.engine.spec.path == shipped_model("int8")
        assert len(detector(np.zeros((480, 640, 3), np.uint8))) == 0


@pytest.mark.parametrize("name", ["", "no-such", "sightline-webcam-fp16", "x" * 500])
def test_a_name_that_does_not_exist_lists_those_that_ship(name: str) -> None:
    with pytest.raises(ModelFileError, match="sightline-webcam and sightline-webcam-int8"):
        Detector.load(name)


def test_a_precision_that_does_not_ship_is_refused() -> None:
    with pytest.raises(ModelFileError, match="in fp32 and int8"):
        shipped_model("fp16")


@pytest.mark.parametrize("name", ["sightline-webcam", "sightline-webcam-int8"])
def test_an_install_that_lacks_what_ships_says_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    with pytest.raises(ModelFileError, match=rf"lacks its own model {name}\.onnx"):
        Detector.load(name)


def test_a_file_without_a_suffix_is_no_wrong_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("no model")
    with pytest.raises(ModelFileError, match="notes"):
        Detector.load("notes")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        Detector.load(tmp_path / "gone.onnx")


def test_every_public_name_is_there_and_others_are_not() -> None:
    for name in sightline_engines.__all__:
        assert getattr(sightline_engines, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sightline_engines.nothing


def in_fresh_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_types_and_the_wire_format_load_no_runtime() -> None:
    in_fresh_python(
        "import sys, sightline_engines, sightline_engines.types, sightline_engines.wire\n"
        "heavy = {'onnxruntime', 'openvino', 'onnx', 'cv2', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )


def test_drawing_loads_only_opencv() -> None:
    in_fresh_python(
        "import sys, sightline_engines.draw\n"
        "heavy = {'onnxruntime', 'openvino', 'onnx', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_no_engine_reaches_for_the_network_or_another_program(model: Path, engine: str) -> None:
    """OpenVINO brings a telemetry package along: it must stay still."""
    code = f"""
import sys
from pathlib import Path
reached = []
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        reached.append((event, args))
sys.addaudithook(watch)
from sightline_engines.load import load_engine
from sightline_engines.recognise import recognise
import numpy as np
engine = load_engine(recognise(Path({str(model)!r})), {engine!r}, device="cpu", threads=1)
engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
engine.close()
assert not reached, reached
"""
    in_fresh_python(code)
