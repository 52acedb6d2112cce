"""The libraries that run models, imported so that they tell nobody.

ONNX Runtime since 1.31 sends usage events to Microsoft (mobile.events.data.microsoft.com) and keeps
a database of them below ~/.cache; its environment variable is read as the library loads, where
`disable_telemetry_events` comes too late. OpenVINO and NNCF send theirs to Google Analytics through
a package that they do without where it is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sightline_engines.errors import ProviderError


def import_onnxruntime() -> Any:
    """Return the onnxruntime module; raises ProviderError where it is missing."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251  it takes no other word
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(
            f"ONNX Runtime isn't installed ({error}); install sightline-engines[onnx]."
        ) from error
    return onnxruntime


def import_openvino() -> Any:
    """Return the openvino module; raises ProviderError where it is missing."""
    with no_telemetry():
        try:
            import openvino
        except ImportError as error:
            raise ProviderError(
                f"OpenVINO isn't installed ({error}); install sightline-engines[openvino]."
            ) from error
    return openvino


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Let OpenVINO's and NNCF's telemetry be missing for the length of an import."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
