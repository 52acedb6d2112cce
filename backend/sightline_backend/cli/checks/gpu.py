"""`sightline doctor --gpu`: build the model's plans, compare with their source, measure all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sightline_backend.cli.checks.check import Check, fail, ok
from sightline_engines.convert.options import ConvertOptions, Parity, Precision
from sightline_engines.device import Device, nvidia_gpus, read_gpu
from sightline_engines.errors import SightlineError
from sightline_engines.onnxrt import missing_provider
from sightline_engines.passport_check import missing_tensorrt, tensorrt_version
from sightline_engines.progress import Progress, part
from sightline_engines.types import Format, ModelSpec

if TYPE_CHECKING:
    from sightline_engines.benchmark.cells import CellResult
    from sightline_engines.benchmark.run import Trial

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
BATCHES = (1, 8)
_PICTURES = 64  # drawn, to calibrate INT8: enough to see that it runs, not to put it into service
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_MEND = "See docs/gpu.md."
_MEND_DRAWN = f"{_MEND} INT8 was calibrated on drawn pictures; --data FOLDER names real ones."


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the model on the GPU, and how it went."""

    engine: str
    precision: str
    batch: int
    agreeing: float | None  # share of boxes like the source's; None: it is the source itself
    engine_ms: float | None  # median of a batch
    pictures_s: float | None  # of the whole way from JPEG to boxes
    problem: str = ""
    drawn: bool = False  # INT8 that was calibrated on drawn pictures


def pictures_in(folder: Path) -> tuple[list[Path], Check]:
    """Return the pictures in a folder and below, and how that went."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not paths:
        mend = "Name a folder of JPEG, PNG, WebP or BMP pictures, or leave --data out."
        return paths, fail("pictures", f"there are none in {folder}.", mend)
    return paths, ok("pictures", f"{len(paths)} in {folder}, to calibrate INT8 and to compare")


def check_parts() -> list[Check]:
    """Say of each thing that a plan needs whether it is there; asks nothing of the GPU itself."""
    from sightline_engines.convert.plan import can_build

    gpu = read_gpu()
    if gpu is None:
        seen = missing_tensorrt() if not nvidia_gpus() else "the NVIDIA driver doesn't answer"
        driver = fail("gpu driver", f"{seen or 'no NVIDIA GPU is seen'}.", _MEND)
    else:
        found = f"{gpu.name}, compute capability {gpu.compute_capability}, driver {gpu.driver}"
        driver = ok("gpu driver", found)
    building = can_build()
    version = tensorrt_version()
    plans = (
        fail("tensorrt", f"no plan can be built: {building}.", _MEND)
        if building
        else ok("tensorrt", f"TensorRT {version} can build and run plans")
    )
    return [driver, plans, *(_provider(Device("cuda")), _provider(Device("tensorrt")))]


def try_gpu(
    spec: ModelSpec,
    progress: Progress,
    pictures: Sequence[Path] = (),
    seconds: float = 3.0,
    folder: Path | None = None,
) -> list[Row]:
    """Build, compare and measure a model's plans beside ONNX Runtime's providers; takes minutes.

    INT8 is calibrated on `pictures`, and what is built is compared with its source on them; with
    none they are drawn. What fails gets a row that says so, and the rest goes on.
    """
    from sightline_engines.benchmark.run import RunOptions, run_matrix

    with TemporaryDirectory(prefix="sightline-gpu-", dir=folder) as name:
        built, rows = _built(spec, Path(name), pictures, part(progress, 0, 0.6))
        trials = _trials(spec, built)
        options = RunOptions(seconds=seconds, accuracy=False)
        measured = run_matrix(trials, None, options, part(progress, 0.6, 1.0))
    agreeing = {precision: parity for precision, (_, parity) in built.items()}
    rows += [_row(result, agreeing) for result in measured]
    return [replace(row, drawn=row.precision == "int8" and not pictures) for row in rows]


def rows_as_checks(rows: Sequence[Row]) -> list[Check]:
    """Return the measured ways as checks, for programs."""
    checks = []
    for row in rows:
        name = f"{row.engine} {row.precision}, batch {row.batch}"
        if row.problem:
            checks.append(fail(name, row.problem, _MEND_DRAWN if row.drawn else _MEND))
        else:
            agree = "" if row.agreeing is None else f", {row.agreeing:.1%} of boxes agree"
            speed = f"{row.engine_ms or 0:.2f} ms, {row.pictures_s or 0:.0f} pictures/s"
            drawn = ", calibrated on drawn pictures" if row.drawn else ""
            checks.append(ok(name, speed + agree + drawn))
    return checks


def _provider(device: Device) -> Check:
    reason = missing_provider(device)
    name = f"onnxruntime {device.kind}"
    if reason:
        return fail(name, f"{reason}.", _MEND)
    return ok(name, "ONNX Runtime is built with this provider")


def _built(
    spec: ModelSpec, folder: Path, pictures: Sequence[Path], progress: Progress
) -> tuple[dict[str, tuple[ModelSpec, Parity | None]], list[Row]]:
    """Return the plans that could be built and agree with their source, and rows for the others."""
    from sightline_engines.convert.convert import convert

    pictures = pictures or _drawn(folder / "pictures")
    built: dict[str, tuple[ModelSpec, Parity | None]] = {}
    failed: list[Row] = []
    for number, precision in enumerate(PRECISIONS):
        options = ConvertOptions(
            Format.TENSORRT,
            precision,
            max_batch=max(BATCHES),
            timing_cache=folder / "timing.cache",
        )
        step = part(progress, number / len(PRECISIONS), (number + 1) / len(PRECISIONS))
        try:
            made = convert(spec, options, pictures, folder / precision, step)
        except SightlineError as error:
            failed.append(Row("tensorrt", precision, 0, None, None, None, error.message))
            continue
        built[precision] = (made.spec, made.parity)
    return built, failed


def _trials(spec: ModelSpec, built: dict[str, tuple[ModelSpec, Parity | None]]) -> list[Trial]:
    from sightline_engines.benchmark.cells import Cell
    from sightline_engines.benchmark.run import Trial

    batches = [b for b in BATCHES if spec.static_batch in (None, b)]
    size = spec.input_size_wh
    trials = []
    for batch in batches:
        for device in ("cpu", "cuda", "tensorrt"):
            cell = Cell("onnxruntime", spec.precision, batch, size, device=device)
            trials.append(Trial(cell, spec))
        for precision, (made, _) in built.items():
            trials.append(Trial(Cell("tensorrt", precision, batch, size, device="cuda:0"), made))
    return trials


def _row(result: CellResult, agreeing: dict[str, Parity | None]) -> Row:
    cell = result.cell
    plan = cell.engine == "tensorrt"
    engine = cell.engine if plan else f"onnxruntime on {cell.device}"
    parity = agreeing.get(cell.precision) if plan else None
    share = parity.agreeing if parity else None
    if result.state != "done" or result.engine_ms is None:
        said = result.error or result.state
        return Row(engine, cell.precision, cell.batch, share, None, None, said)
    median = result.engine_ms.p50
    return Row(engine, cell.precision, cell.batch, share, median, result.pipeline_fps)


def _drawn(folder: Path) -> list[Path]:
    """Write pictures to calibrate and compare with."""
    from sightline_engines.convert.rendered import rendered_pictures
    from sightline_engines.picture import encode_as

    folder.mkdir(parents=True)
    paths = []
    for number, image in enumerate(rendered_pictures(_PICTURES)):
        path = folder / f"{number:03}.jpg"
        path.write_bytes(encode_as(image, ".jpg"))
        paths.append(path)
    return paths
