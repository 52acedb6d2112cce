"""INT8: what ships beside the fp32 file, made by the product's own converter."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from sightline_engines.convert.convert import convert
from sightline_engines.convert.options import ConvertOptions
from sightline_engines.recognise import recognise
from sightline_engines.types import Format, ModelSpec
from sightline_training.samples import SETS, held_out, truths

PICTURES = 100  # of each set, to calibrate on
SEED = 1  # of their choice


def quantise(source: ModelSpec, data: Path, folder: Path) -> ModelSpec:
    """Make INT8 ONNX (QDQ) in `folder` of an fp32 file, calibrated on pictures of the training.

    Takes half a minute of one core. The same file and pictures give the same bytes.

    Raises:
        FileNotFoundError: a set isn't there, or a picture of it.
        ModelFileError: it can't be quantised, or finds too little of what fp32 finds.
    """
    pictures = [path for name in SETS for path in calibration_pictures(data, name)]
    options = ConvertOptions(Format.ONNX, "int8", calibration_pictures=len(pictures))
    return convert(source, options, pictures, folder).spec


def calibration_pictures(data: Path, name: str, most: int = PICTURES) -> list[Path]:
    """Choose pictures of a set at random, the same each time, none of those kept aside.

    Raises:
        FileNotFoundError: the set isn't there, or one of the chosen pictures.
    """
    labels, _ = SETS[name]
    if not (data / labels).is_file():
        raise FileNotFoundError(
            f"{data / labels} is not there. INT8 is calibrated on pictures of the sets "
            f"{' and '.join(SETS)}: name the folder that holds them with --data."
        )
    files = sorted(set(truths(data, name)) - held_out(name))
    chosen = random.Random(SEED).sample(files, min(most, len(files)))
    paths = [data / name / "images" / file for file in sorted(chosen)]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        lacks = f"lacks {missing[0].name}" if missing else "has none that is for training"
        raise FileNotFoundError(
            f"{data / name / 'images'} {lacks}, and INT8 is calibrated on its pictures. Name a "
            "folder that holds the whole set with --data."
        )
    return paths


def spec_of(exported: Path, confidence: float) -> ModelSpec:
    """Return what an exported file is, at the threshold that it ships with."""
    spec = recognise(exported)
    return replace(spec, postprocess=replace(spec.postprocess, conf=confidence))
