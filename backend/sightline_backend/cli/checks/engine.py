"""What would run the model, and on what."""

from __future__ import annotations

from sightline_backend.cli.checks.check import Check, fail, info, ok, warn
from sightline_backend.settings import Settings
from sightline_engines.device import nvidia_gpus
from sightline_engines.errors import SightlineError
from sightline_engines.load import engine_choices, load_engine
from sightline_engines.types import ModelSpec

_GPU_PINS = "Install the GPU libraries: delete .venv and run `make install` again."


def check_gpu() -> Check:
    """Say which NVIDIA GPUs there are, and their driver."""
    gpus = nvidia_gpus()
    if not gpus:
        return ok("gpu", "no NVIDIA GPU is seen; the processor does the work")
    driver = driver_version()
    if driver is None:
        return warn("gpu", f"{', '.join(gpus)}; the driver's version can't be read", _GPU_PINS)
    return ok("gpu", f"{', '.join(gpus)}, driver {driver}")


def driver_version() -> str | None:
    """Return the NVIDIA driver's version, None where its library isn't there."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return version.decode() if isinstance(version, bytes) else str(version)


def check_choices() -> list[Check]:
    """Say of each way to run a model whether it is there and why."""
    choices = engine_choices()
    able = [choice for choice in choices if choice.available]
    # A plan is built on purpose: auto never chooses TensorRT by itself.
    rivals = [c for c in able if c.device == able[0].device and c.name != "tensorrt"]
    takes = "auto takes this one" if len(rivals) == 1 else "auto takes the faster of these"
    checks = []
    for choice in choices:
        name = f"{choice.name} on {choice.device}"
        chosen = f" ({takes})" if choice in rivals else ""
        if choice.available:
            checks.append(ok(name, f"can run: {choice.why}{chosen}"))
        else:
            checks.append(info(name, f"can't run: {choice.why}"))
    if not able:
        checks.append(fail("engine", "nothing can run a model here", "Run `make install` again."))
    return checks


def check_engine(settings: Settings, spec: ModelSpec) -> Check:
    """Load the model as the server would, and run it once."""
    try:
        engine = load_engine(
            spec,
            settings.engine,
            device=settings.device,
            threads=settings.threads,
            triton=settings.triton,
        )
    except SightlineError as error:
        return fail(
            "engine",
            error.message,
            "Set SIGHTLINE_ENGINE=auto and leave SIGHTLINE_DEVICE unset to take what is there.",
        )
    try:
        served = engine.served
    finally:
        engine.close()
    runs = f"{spec.name} runs on {served.engine}, {served.precision}, {served.device}"
    if served.fallback:
        return warn("engine", f"{runs}, not the best: {served.fallback}", _GPU_PINS)
    return ok("engine", runs)
