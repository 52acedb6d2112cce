"""OpenVINO IR: FP32, FP16 (compressed weights) and INT8 by NNCF's post-training quantisation."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from onnx import ModelProto

from sightline_engines.convert.calibration import Samples
from sightline_engines.convert.head import openvino_head
from sightline_engines.convert.options import Precision
from sightline_engines.convert.session import hushed
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.ov import missing_openvino
from sightline_engines.progress import Progress, quiet
from sightline_engines.runtimes import import_openvino, no_telemetry

# Operators that stay float, beside the head. Before SiLU values have a wide range. Convolutions of
# each channel alone (GroupConvolution) are a small part of the work and gain nothing: with them in
# INT8 yolox_nano loses 0.0046 of its mAP50-95 of 0.324, without 0.0035 (147 COCO pictures to
# calibrate, 147 others to measure); sightline-webcam's 0.380 becomes 0.382, without 0.381.
_FLOAT = (
    "Multiply",
    "Sigmoid",
    "Swish",
    "Add",
    "Concat",
    "MaxPool",
    "Interpolate",
    "GroupConvolution",
)


def write_ir(
    model: ModelProto,
    precision: Precision,
    samples: Samples | None,
    folder: Path,
    progress: Progress = quiet,
) -> Path:
    """Write `folder`/model.xml with model.bin beside it, both whole or neither; return the .xml.

    `samples` calibrate INT8. Raises ProviderError for a missing library, ModelFileError for a
    model that OpenVINO doesn't take.
    """
    reason = missing_openvino() or (missing_nncf() if precision == "int8" else None)
    if reason:
        raise ProviderError(f"OpenVINO IR can't be made here: {reason}.")
    openvino = import_openvino()
    try:
        made = openvino.Core().read_model(model.SerializeToString())
        if precision == "int8" and samples is not None:
            made = _quantised(made, samples, progress)
        return _save(made, folder, compressed=precision == "fp16")
    except RuntimeError as error:
        raise ModelFileError(f"OpenVINO can't take the model: {error}") from error


def missing_nncf() -> str | None:
    """Return why NNCF can't be used, None where it is installed; imports nothing."""
    from importlib.util import find_spec

    if find_spec("nncf") is None:
        return "NNCF, which makes INT8 IR, isn't installed; install sightline-engines[convert]"
    return None


def _quantised(model: Any, samples: Samples, progress: Progress) -> Any:
    nncf = _nncf()
    head = openvino_head(model)
    ignored = nncf.IgnoredScope(
        names=[*head.decoding, *head.last], types=list(_FLOAT), validate=False
    )
    told = _Told(samples, progress)
    with hushed("nncf"), redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nncf.quantize(
            model,
            nncf.Dataset(told),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            ignored_scope=ignored,
        )


class _Told:
    """Gives out pictures and tells how far that is; NNCF goes through them more than once."""

    def __init__(self, samples: Samples, progress: Progress) -> None:
        self._samples = samples
        self._progress = progress

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Any]:
        count = len(self._samples)
        for number, sample in enumerate(self._samples):
            self._progress(number / count, f"calibrating on picture {number + 1} of {count}")
            yield sample


def _nncf() -> Any:
    """Import NNCF, which else tells a server of each use."""
    with no_telemetry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import nncf
        except ImportError as error:
            raise ProviderError(f"NNCF doesn't load: {error}.") from error
    return nncf


def _save(model: Any, folder: Path, *, compressed: bool) -> Path:
    """Write both files under other names, then rename: the .xml last, which names the model."""
    openvino = import_openvino()
    part = folder / ".model.part.xml"
    openvino.save_model(model, part, compress_to_fp16=compressed)
    for suffix in (".bin", ".xml"):
        written, final = part.with_suffix(suffix), folder / f"model{suffix}"
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        written.replace(final)
    return folder / "model.xml"
