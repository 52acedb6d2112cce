"""What a pipeline needs of this machine, asked before any work starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sightline_engines.convert.plan import can_build
from sightline_engines.errors import ProviderError, SightlineError
from sightline_engines.exporter.options import BenchmarkConfig, ExportConfig
from sightline_engines.exporter.trt_build import missing_ranges
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.server import ServerOptions

_PROGRAM = "tritonserver"
_USUAL = Path("/opt/tritonserver/bin/tritonserver")  # in NVIDIA's images
_NEEDED = (
    ("onnx", "onnx"),
    ("onnxruntime", "onnx"),
    ("onnxslim", "convert"),
)


@dataclass(frozen=True, slots=True)
class Steps:
    """Which steps are to run, and with what."""

    export: bool  # from the module; else `onnx` must be there
    build: bool  # a TensorRT plan; else, with that platform, `plan` must be there
    calibrated: bool
    onnx: Path
    plan: Path
    repository: Path | None
    server: ServerOptions | None  # one to be started; None: one that runs


def check(
    config: ExportConfig, triton: TritonConfig, benchmark: BenchmarkConfig, steps: Steps
) -> None:
    """Raise ProviderError that tells everything that is missing, and what to do about each."""
    found = [*_libraries(steps), *_files(config, triton, steps), *_triton(benchmark, steps)]
    if found:
        raise ProviderError("Nothing was begun: " + " ".join(found))


def local_server(repository: Path, program: Path | None = None) -> ServerOptions:
    """Return how a tritonserver of this machine is run, whether there is one or not."""
    found = program or Path(shutil.which(_PROGRAM) or _USUAL)
    backends, caches = (found.resolve().parent.parent / name for name in ("backends", "caches"))
    return ServerOptions(
        found,
        repository,
        backends=backends if backends.is_dir() else None,
        caches=caches if caches.is_dir() else None,
    )


def _libraries(steps: Steps) -> Iterator[str]:
    if steps.export and find_spec("torch") is None:
        yield (
            "PyTorch isn't installed: pip install 'sightline-engines[torch]', or leave the export "
            "out (--skip-export) with an ONNX file that was made elsewhere."
        )
    for module, extra in _NEEDED:
        if find_spec(module) is None:
            yield f"{module} isn't installed: pip install 'sightline-engines[{extra}]'."
    if find_spec("tritonclient") is None:
        yield "tritonclient isn't installed: pip install 'sightline-engines[triton]'."


def _files(config: ExportConfig, triton: TritonConfig, steps: Steps) -> Iterator[str]:
    if not steps.export and not steps.onnx.is_file():
        yield (
            f"The export is left out, but {steps.onnx} isn't there: put the ONNX file there, or "
            "leave --skip-export away."
        )
    if steps.export and config.precision == "int8" and not steps.calibrated:
        yield (
            "INT8 needs inputs like those that the model will see, some 200: give calibration "
            "(--calibration samples.npz), or take fp16."
        )
    if triton.platform == "tensorrt_plan":
        yield from _tensorrt(config, steps)
    unfit = [size for size in triton.preferred_batch_sizes if size > max(config.max_batch_size, 1)]
    if unfit:
        yield (
            f"preferred_batch_sizes has {unfit[0]}, but max_batch_size is {config.max_batch_size}: "
            "raise it or lower the preferred size."
        )


def _tensorrt(config: ExportConfig, steps: Steps) -> Iterator[str]:
    if not steps.build:
        if not steps.plan.is_file():
            yield (
                f"TensorRT is left out, but {steps.plan} isn't there: leave --skip-trt away, put "
                "the plan there, or take the platform onnxruntime."
            )
        return
    reason = can_build()
    if reason:
        yield (
            f"The platform tensorrt_plan needs a plan, which can't be built here: {reason}. Build "
            "on the machine that serves, or take the platform onnxruntime."
        )
    missing = missing_ranges(config)
    if missing:
        yield missing


def _triton(benchmark: BenchmarkConfig, steps: Steps) -> Iterator[str]:
    folder = steps.repository
    if folder is None:
        yield "There is no repository: name the folder that Triton serves (--repository)."
    elif folder.exists() and not folder.is_dir():
        yield f"{folder} is no folder: name the one that Triton serves (--repository)."
    elif not folder.exists() and steps.server is None:
        yield (
            f"The repository {folder} isn't there: name the folder that Triton serves "
            "(--repository), as it is called on this machine."
        )
    elif folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        yield f"{folder} can't be written: give this user the right to, or name another folder."
    if steps.server is not None:
        if not os.access(steps.server.program, os.X_OK):
            yield (
                f"There is no {_PROGRAM} on the PATH or at {steps.server.program}: run this in "
                "NVIDIA's Triton image, put it on the PATH, or name one that runs (--triton-url)."
            )
        return
    if find_spec("tritonclient") is None:
        return
    reason = unreachable(benchmark)
    if reason:
        yield (
            f"No Triton answers {benchmark.protocol} at {benchmark.triton_url} ({reason}): start "
            "it, name its address (--triton-url, --protocol), or have one started (--start-server)."
        )


def unreachable(benchmark: BenchmarkConfig) -> str | None:
    """Return why no Triton answers at the address, None where one does."""
    from sightline_engines.triton.client import open_client

    try:
        with open_client(benchmark.options()) as client:
            return None if client.live() else "it isn't live"
    except SightlineError as error:
        return error.message.rstrip(".")
