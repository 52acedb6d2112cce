"""Use once what the server's image is for: both runtimes, and each conversion it can make.

What was left out of the libraries and is missed shows here, when the image is built, and not in a
job.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from sightline_engines.assets import shipped_model
from sightline_engines.convert.convert import can_make, convert
from sightline_engines.convert.options import ConvertOptions, Precision
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.load import EngineName, load_engine
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.recognise import recognise
from sightline_engines.types import Format, ModelSpec

_PICTURES = 4
_CONVERSIONS: tuple[tuple[Format, Precision], ...] = (
    (Format.ONNX, "fp16"),
    (Format.ONNX, "int8"),
    (Format.OPENVINO, "fp32"),
    (Format.OPENVINO, "fp16"),
    (Format.OPENVINO, "int8"),
)


def try_all(folder: Path, *, with_nncf: bool) -> None:
    """Convert the shipped model in every way and run what comes of it; raises SightlineError."""
    source = recognise(shipped_model())
    pictures = _pictures(folder)
    _run(source, "onnxruntime")
    _run(source, "openvino")
    for format_, precision in _CONVERSIONS:
        if (format_, precision) == (Format.OPENVINO, "int8") and not with_nncf:
            continue
        if (why_not := can_make(format_, precision)) is not None:
            raise SystemExit(f"{format_} {precision} can't be made here: {why_not}")
        into = folder / f"{format_}-{precision}"
        into.mkdir()
        made = convert(source, ConvertOptions(format_, precision), pictures, into)
        _run(made.spec, "auto")
        print(f"{format_} {precision}: made, compared and run", flush=True)


def load_drivers() -> None:
    """Load what jobs and a database need beside; raises ImportError."""
    import psycopg
    import xlsxwriter
    from pycocotools.cocoeval import COCOeval

    print(psycopg.pq.__impl__, xlsxwriter.__name__, COCOeval.__name__)


def _run(spec: ModelSpec, engine: EngineName) -> None:
    loaded = load_engine(spec, engine, device="cpu", threads=1)
    try:
        detect(loaded, rendered_pictures(1), [DetectOptions(conf=0.5, iou=0.5)])
    finally:
        loaded.close()


def _pictures(folder: Path) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(_PICTURES)]
    for path, picture in zip(paths, rendered_pictures(_PICTURES), strict=True):
        cv2.imwrite(str(path), picture)
    return paths


if __name__ == "__main__":
    load_drivers()
    with TemporaryDirectory() as made:
        try_all(Path(made), with_nncf="--nncf" in sys.argv)
