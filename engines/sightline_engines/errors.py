"""Errors that engines raise; each message says what was found and how to fix it.

SightlineError
├── WireError          a message that breaks the wire format
├── PictureError       bytes that are no picture we take
│   ├── PictureFormatError    not one of the accepted formats
│   ├── PictureTooLargeError  more bytes or pixels than the limit
│   └── PictureCorruptError   the right format, but damaged
├── ClipError          a video file that can't be read
├── ModelFileError     a model file that is unsupported, ambiguous or damaged
├── ArchiveError       a zip that is damaged, hostile or too large (archive.py)
├── ProviderError      an engine, provider or device that was asked for and isn't there
├── EngineError        an engine that failed while it ran
│   ├── EngineMemoryError     for lack of memory: a smaller batch may pass
│   ├── EngineAwayError       a server that runs it doesn't answer; starting anew doesn't help
│   └── TritonError           Triton answered with an error (triton/errors.py, more of them there)
└── DeployError          a model that a server doesn't take, for the reason that it gave
"""

import re
from typing import ClassVar


class SightlineError(Exception):
    """Base of all errors meant for a person; `code` is stable, the text may change."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class WireError(SightlineError):
    """A message doesn't follow the wire format."""

    code = "bad_message"


class PictureError(SightlineError):
    """Bytes that can't be taken as a picture."""

    code = "bad_picture"


class PictureFormatError(PictureError):
    """The bytes are not of an accepted format."""

    code = "unsupported_format"


class PictureTooLargeError(PictureError):
    """The picture has more bytes or pixels than the limit."""

    code = "too_large"


class PictureCorruptError(PictureError):
    """The picture's header is fine, its pixels can't be decoded."""

    code = "corrupt_picture"


class ClipError(SightlineError):
    """A video file can't be opened or holds no picture."""

    code = "bad_clip"


class ModelFileError(SightlineError):
    """A model file is unsupported, ambiguous or damaged."""

    code = "bad_model"


class ProviderError(SightlineError):
    """An engine or device was asked for by name and isn't available here."""

    code = "engine_unavailable"


class EngineError(SightlineError):
    """The engine failed while it ran a batch."""

    code = "engine_failed"


class EngineMemoryError(EngineError):
    """The engine ran out of memory; a smaller batch may pass."""

    code = "engine_memory"


class EngineAwayError(EngineError):
    """The server that runs the model is down, too slow, or doesn't have it at the moment."""

    code = "engine_away"


class DeployError(SightlineError):
    """A model can't be put into service on a server; what served before serves on."""

    code = "deploy_failed"


# As ONNX Runtime, CUDA, cuBLAS, cuDNN, TensorRT and OpenVINO say it.
_NO_MEMORY = re.compile(
    r"failed to allocate (\d+ bytes of )?memory|out[ _]?of[ _]?memory|CUDA failure 2:"
    r"|STATUS_ALLOC_FAILED|BFC_?Arena|bad_alloc",
    re.IGNORECASE,
)


def engine_error(runtime: str, error: Exception) -> EngineError:
    """Return the error to raise for what a runtime raised: an EngineMemoryError if it says so."""
    said = str(error)
    if not isinstance(error, MemoryError) and not _NO_MEMORY.search(said):
        return EngineError(f"{runtime} failed: {said}")
    return EngineMemoryError(
        f"{runtime} ran out of memory: {said or 'nothing more is told'}. Lower "
        "SIGHTLINE_MAX_BATCH, choose a smaller model or another device."
    )
