"""The Python API: load a detector, call it with a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from sightline_engines.assets import (
    SHIPPED_FILES,
    SHIPPED_NAME,
    SHIPPED_PRECISIONS,
    shipped_model,
)
from sightline_engines.errors import ModelFileError, PictureError
from sightline_engines.load import EngineName, load_engine
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import DetectOptions, class_ids, default_options, detect
from sightline_engines.recognise import recognise
from sightline_engines.triton.options import TritonOptions
from sightline_engines.types import Detections, Engine, Image


class Detector:
    """A loaded model that finds things in pictures; use from one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def load(
        cls,
        model: str | Path = SHIPPED_NAME,
        engine: EngineName = "auto",
        *,
        device: str | None = None,
        threads: int | None = None,
        triton: TritonOptions | None = None,
    ) -> Self:
        """Load a model that ships, by its name, or an ONNX file.

        Raises ModelFileError or ProviderError. `triton` is where engine triton asks.
        """
        spec = recognise(_file(model))
        return cls(load_engine(spec, engine, device=device, threads=threads, triton=triton))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, by number."""
        return self.engine.spec.labels

    def __call__(
        self,
        picture: Image | str | Path,
        *,
        conf: float | None = None,
        iou: float | None = None,
        classes: Iterable[str] | None = None,
        max_detections: int | None = None,
    ) -> Detections:
        """Return what is in a BGR picture or a picture file; None takes the model's default.

        Raises PictureError for a file that is no picture, ValueError for an unknown class.
        """
        image = _read(Path(picture)) if isinstance(picture, str | Path) else picture
        default = default_options(self.engine.spec)
        options = DetectOptions(
            default.conf if conf is None else conf,
            default.iou if iou is None else iou,
            class_ids(self.labels, classes or ()),
            default.max_detections if max_detections is None else max_detections,
        )
        return detect(self.engine, [image], [options])[0][0]

    def close(self) -> None:
        """Give the engine's memory back."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _file(model: str | Path) -> Path:
    """Return the file that a name or path stands for; raises ModelFileError for a wrong name."""
    if isinstance(model, str) and model in SHIPPED_PRECISIONS:
        return shipped_model(SHIPPED_PRECISIONS[model])
    path = Path(model)
    if not path.suffix and path.parent == Path() and not _is_file(path):
        raise ModelFileError(
            f"There is neither a file {path.name[:80]!r} here nor a model of that name; "
            f"{' and '.join(SHIPPED_FILES.values())} ship with Sightline."
        )
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, or one that can't be
        return False


def _read(path: Path) -> Image:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} can't be read: {error.strerror or error}.") from error
    return decode_picture(data, PictureLimits())
