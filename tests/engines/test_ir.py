"""OpenVINO IR that isn't what it was, or was never ours, is refused before OpenVINO sees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from sightline_engines.convert.convert import convert
from sightline_engines.convert.options import ConvertOptions
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.irfile import check_ir, ir_digest
from sightline_engines.load import load_engine
from sightline_engines.recognise import recognise
from sightline_engines.types import Format, ModelSpec
from tests.conftest import missing
from tests.engines.tiny import constant_model, probe_model, random_raw

LAYER = '<layer id="0" name="x" type="Const" version="opset1">'


@pytest.fixture
def made(tmp_path: Path) -> ModelSpec:
    path = constant_model(tmp_path / "tiny.onnx", random_raw("yolox", 2), batch="batch")
    return as_ir(recognise(path), tmp_path / "made")


def as_ir(source: ModelSpec, folder: Path) -> ModelSpec:
    try:
        return convert(source, ConvertOptions(Format.OPENVINO), [], folder).spec
    except ProviderError as error:
        missing(error.message)
        raise


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a readable"),
        ("<net><layers>", "not a readable"),
        ("<html></html>", "begins with <html>"),
        ('<!DOCTYPE net [<!ENTITY a "b">]><net></net>', "document type"),
        (f'<net>{LAYER}<data offset="0" size="101"/></layer></net>', "don't belong together"),
        (f'<net>{LAYER}<data offset="-1" size="1"/></layer></net>', "don't belong together"),
        (f'<net>{LAYER}<data path="/etc/passwd"/></layer></net>', "names another file"),
        ('<net><layer id="0" type="Own" version="extension"/></net>', "an extension"),
        ('<net><layer id="0" type="Own"/></net>', "an extension"),
    ],
)
def test_an_xml_that_should_not_be_read_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ModelFileError, match=problem):
        check_ir(text.encode(), 100, "model.xml")


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
@pytest.mark.parametrize("damage", ["gone", "cut off", "changed", "empty"])
def test_a_damaged_pair_is_refused(made: ModelSpec, suffix: str, damage: str) -> None:
    path = made.path.with_suffix(suffix)
    data = path.read_bytes()
    match damage:
        case "gone":
            path.unlink()
        case "cut off":
            path.write_bytes(data[:-7])
        case "changed":
            path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        case _:
            path.write_bytes(b"")
    with pytest.raises(ModelFileError):
        load_engine(made, "openvino")


def test_a_pair_of_two_models_is_refused(made: ModelSpec, tmp_path: Path) -> None:
    path = constant_model(tmp_path / "other.onnx", random_raw("yolox", 2) + 1, batch="batch")
    other = as_ir(recognise(path), tmp_path / "second")
    made.path.with_suffix(".bin").write_bytes(other.path.with_suffix(".bin").read_bytes())
    with pytest.raises(ModelFileError, match="aren't the pair"):
        load_engine(made, "openvino")


def test_a_spec_without_a_digest_runs_nothing(made: ModelSpec) -> None:
    with pytest.raises(ModelFileError, match="none"):
        load_engine(replace(made, sha256=""), "openvino")


@pytest.mark.parametrize("batch", [1, 2, "batch"])
@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_the_picture_reaches_the_model_as_its_onnx_sees_it(
    batch: int | str, color: Literal["bgr", "rgb"], tmp_path: Path
) -> None:
    spec = recognise(probe_model(tmp_path / "probe.onnx", size_wh=(64, 24), batch=batch))
    preprocess = replace(spec.preprocess, color=color)
    spec = replace(spec, preprocess=preprocess, labels=("a",))
    made = as_ir(spec, tmp_path / "made")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 24, 64, 3)).astype(np.uint8)
    one, other = load_engine(spec, "onnxruntime", device="cpu"), load_engine(made, "openvino")
    np.testing.assert_allclose(one.infer(pictures)[0], other.infer(pictures)[0], atol=1e-4)
    assert (made.static_batch, made.sha256) == (spec.static_batch, ir_digest(made.path))
