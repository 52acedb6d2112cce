"""`sightline benchmark`: speed, memory and accuracy of a model, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout

if TYPE_CHECKING:
    from sightline_backend.benchmark_export import BenchmarkRun
    from sightline_engines.benchmark.recommend import Recommendation

_SUFFIXES = ("json", "csv", "xlsx")


def benchmark(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Annotated[str, typer.Option(help="A model's name, or an ONNX file.")],
    data: Annotated[
        str | None, typer.Option(help="Labelled pictures: a folder, a COCO JSON, or a name.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Comma separated.")] = "onnxruntime,openvino",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8; comma separated.")] = "fp32",
    batch: Annotated[str, typer.Option(help="Pictures an engine call, comma separated.")] = "1",
    input_size: Annotated[
        str, typer.Option(help="Such as 320x320,640x640; the model's own if not given.")
    ] = "",
    instances: Annotated[str, typer.Option(help="Engines side by side, comma separated.")] = "1",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Most time a cell is measured for.")] = 5,
    most_pictures: Annotated[
        int | None, typer.Option(min=1, help="Pictures for accuracy; all if not given.")
    ] = None,
    artefact: Annotated[
        int | None,
        typer.Option(min=1, help="This one alone, in its own precision: `sightline models show`."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write: .json, .csv or .xlsx.")
    ] = None,
    latency_limit_ms: Annotated[
        float, typer.Option(min=0.1, help="Longest p95 from JPEG to boxes.")
    ] = 100,
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="mAP50-95 that may be lost against fp32.")
    ] = 0.01,
) -> None:
    """Measure a matrix of engine, precision, batch and size, and recommend a configuration.

    What isn't there in a precision is made first. Ctrl-C keeps, shows and writes what was
    measured so far. The exit status is 1 if nothing could be measured.
    """
    from sightline_backend.cli.benchmark_table import cells_table, show_recommendation, show_remarks
    from sightline_backend.cli.measuring import Asked, measured
    from sightline_engines.benchmark.recommend import Limits, recommend

    if output is not None and output.suffix.lower().lstrip(".") not in _SUFFIXES:
        fail(f"{output.name} can't be written: name the file .json, .csv or .xlsx.")
    asked = Asked(
        model=model,
        data=data,
        engines=_words(engine),
        precisions=_words(precision),
        batches=_words(batch),
        input_sizes=tuple(_size(text) for text in _words(input_size)),
        instances=_words(instances),
        device=device,
        seconds=seconds,
        most_pictures=most_pictures,
        artefact=artefact,
    )
    with plain_errors():
        done = measured(asked)
        limits = Limits(latency_limit_ms=latency_limit_ms, max_accuracy_loss=max_loss)
        best = recommend(done.run.cells, limits)
        if output is not None:
            _write(done.run, best, output)
    stdout.print(cells_table(done.run.cells, best.best))
    show_remarks(done.run.cells)
    show_recommendation(best, limits)
    if done.problem:
        stderr.print(done.problem, style="yellow", markup=False, soft_wrap=True)
    if done.failed or not any(cell.state == "done" for cell in done.run.cells):
        raise typer.Exit(1)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and (height or width).isdigit()):
        fail(f"--input-size {text!r} is no size; write it as 640x384, or 640 for a square.")
    return int(width), int(height or width)


def _write(run: BenchmarkRun, best: Recommendation, output: Path) -> None:
    """Write a run whole or not at all."""
    from dataclasses import replace
    from typing import cast

    from sightline_backend.benchmark_export import Form, export

    form = cast("Form", output.suffix.lower().lstrip("."))
    content = export([replace(run, recommendation=best.to_dict())], form)
    part = output.with_name(f"{output.name}.part")
    part.write_bytes(content)
    part.replace(output)
    stderr.print(f"Written to {output}", style="dim", markup=False, soft_wrap=True)
