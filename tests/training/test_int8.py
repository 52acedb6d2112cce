"""INT8 from the training's pictures: which are chosen, and what is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.runtimes import import_openvino
from sightline_training.int8 import calibration_pictures, quantise, spec_of
from sightline_training.samples import SETS, held_out


def a_set(data: Path, name: str, files: list[str]) -> None:
    """Write a set's list of pictures, and the pictures, which are drawn."""
    images = data / name / "images"
    images.mkdir(parents=True, exist_ok=True)
    labels = data / SETS[name][0]
    labels.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"id": number, "file_name": file} for number, file in enumerate(files)]
    labels.write_text(json.dumps({"images": listed, "annotations": []}))
    for file, picture in zip(files, rendered_pictures(len(files)), strict=True):
        cv2.imwrite(str(images / file), picture)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of two small sets."""
    for name in SETS:
        a_set(tmp_path / "data", name, [f"{name}-{number}.png" for number in range(3)])
    return tmp_path / "data"


@pytest.mark.parametrize(("most", "count"), [(1, 1), (2, 2), (3, 3), (100, 3)])
def test_the_choice_is_the_same_each_time(data: Path, most: int, count: int) -> None:
    chosen = calibration_pictures(data, "faces", most)
    assert len(set(chosen)) == count
    assert chosen == calibration_pictures(data, "faces", most) == sorted(chosen)


def test_no_picture_that_was_kept_aside_is_chosen(tmp_path: Path) -> None:
    for name in SETS:
        aside = sorted(held_out(name))[:2]
        a_set(tmp_path, name, [*aside, "training.png"])
        assert [path.name for path in calibration_pictures(tmp_path, name)] == ["training.png"]
        a_set(tmp_path, name, aside)
        with pytest.raises(FileNotFoundError, match="none that is for training"):
            calibration_pictures(tmp_path, name)


def test_real_pictures_are_chosen_from_the_training_side(shared_data: Path) -> None:
    for name in SETS:
        chosen = calibration_pictures(shared_data, name)
        assert len(set(chosen)) == 100
        assert not {path.name for path in chosen} & held_out(name)


def test_a_missing_set_or_picture_is_named_with_what_to_do(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"instances\.json is not there.*--data"):
        calibration_pictures(tmp_path / "nothing", "coco")
    (data / "coco" / "images" / "coco-1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks coco-1\.png.*--data"):
        calibration_pictures(data, "coco")


def test_int8_is_made_alike_twice_and_runs_at_any_batch_in_both_runtimes(
    data: Path, tmp_path: Path
) -> None:
    exported = Path(shutil.copy(shipped_model(), tmp_path / "latest.onnx"))  # no sidecar
    source = spec_of(exported, 0.4)
    one, two = (quantise(source, data, tmp_path / folder) for folder in ("one", "two"))
    assert one.sha256 == two.sha256 != source.sha256
    assert (one.precision, one.postprocess.conf) == ("int8", 0.4)
    before, made = onnx.load(exported), onnx.load(one.path)
    kept = {p.key: p.value for p in made.metadata_props}
    assert kept.items() >= {p.key: p.value for p in before.metadata_props}.items()
    assert made.graph.input[0].type.tensor_type == before.graph.input[0].type.tensor_type
    size = before.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    pictures = np.full((2, 3, size, size), 114, np.float32)
    answered = ort.InferenceSession(str(one.path)).run(None, {"images": pictures})[0]
    compiled = import_openvino().Core().compile_model(str(one.path), "CPU")
    assert compiled(pictures)[0].shape == answered.shape
    assert len(answered) == 2
