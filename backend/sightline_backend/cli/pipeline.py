"""`sightline tune`: convert and test, and say what to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline_backend.cli.console import stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table


def tune(  # noqa: PLR0913, PLR0917  one a command-line option
    model: Annotated[str, typer.Argument(help="A model's name.")],
    engine: Annotated[
        str, typer.Option(help="onnxruntime, openvino, tensorrt, by commas.")
    ] = "onnxruntime,openvino",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8, by commas.")] = "fp32,int8",
    batch: Annotated[str, typer.Option(help="Pictures an engine call, by commas.")] = "1,4",
    instances: Annotated[str, typer.Option(help="Engines side by side, by commas.")] = "1",
    data: Annotated[
        str | None,
        typer.Option(help="Labelled data set: a name or a folder; without, speed alone."),
    ] = None,
    pictures: Annotated[int | None, typer.Option(help="Most pictures for accuracy.")] = None,
    seconds: Annotated[float, typer.Option(help="Time for each cell.")] = 5.0,
    latency_limit_ms: Annotated[
        float, typer.Option(help="From JPEG to boxes, of 95 in 100 frames.")
    ] = 100.0,
    max_loss: Annotated[float, typer.Option(help="mAP50-95 that may be lost.")] = 0.01,
    camera_fps: Annotated[float, typer.Option(help="Frames a camera sends a second.")] = 15.0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    input_size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT, for a .pt that doesn't say it.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Class names by commas, for a .pt that has none.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Of the model; what serves if not given.")
    ] = None,
) -> None:
    """Convert a model, measure every combination, and recommend one, with reasons."""
    from sightline_backend.cli.configuration import read_settings, store
    from sightline_backend.cli.job_runs import named_dataset, request_of, run_job
    from sightline_backend.jobs.requests import PipelineRequest

    settings, dataset = named_dataset(read_settings(), data)
    request = request_of(
        PipelineRequest,
        model=model,
        version=version,
        engines=_parts(engine),
        precisions=_parts(precision),
        batches=_parts(batch),
        instances=_parts(instances),
        dataset=dataset,
        most_pictures=pictures,
        seconds=seconds,
        latency_limit_ms=latency_limit_ms,
        max_accuracy_loss=max_loss,
        camera_fps=camera_fps,
        device=device,
        input_size_wh=None if input_size is None else input_size.lower().split("x"),
        labels=None if labels is None else _parts(labels),
    )
    job = run_job(store(), "pipeline", request, settings)
    result = job.result or {}
    stdout.print(_table(result["cells"]))
    said = "Times are from JPEG to boxes; `sightline models show` has those of the engine alone."
    stderr.print(said, style="dim", markup=False, soft_wrap=True)
    notes = [
        f"{step['title']}: {step['state']}. {step.get('why') or ''}"
        for step in result["steps"]
        if step["state"] != "done"
    ]
    for said in dict.fromkeys(notes):  # two engines may run one file
        stderr.print(said, markup=False, soft_wrap=True)
    _say_recommendation(result["recommendation"])


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _table(cells: list[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    titles = ("Engine", "Precision", "Batch", "Instances", "p50 ms", "p95 ms", "Pictures/s")
    wrong = [""] if any(result["error"] for result in cells) else []
    table = Table(*titles, "mAP50-95", *wrong, box=None, pad_edge=False)
    for result in cells:
        cell, times, accuracy = result["cell"], result["pipeline_ms"], result["accuracy"]
        row = (
            cell["engine"],
            cell["precision"],
            str(cell["batch"]),
            str(cell["instances"]),
            "" if times is None else f"{times['p50']:.1f}",
            "" if times is None else f"{times['p95']:.1f}",
            "" if result["pipeline_fps"] is None else f"{result['pipeline_fps']:.1f}",
            "" if accuracy is None else f"{accuracy['map50_95']:.4f}",
            *([result["error"] or ""] if wrong else []),
        )
        table.add_row(*map(Text, row))
    return table


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _say_recommendation(found: dict[str, Any]) -> None:
    best = found["best"]
    if best is None:
        stdout.print("Nothing holds the limits.")
    else:
        said = (
            f"Take {best['engine']} {best['precision']}, batch {found['batch']}, "
            f"{_many(found['instances'], 'instance')}: artefact {found['artefact_id']}, "
            f"{_many(found['cameras'], 'camera')}."
        )
        stdout.print(said, markup=False, soft_wrap=True)
    for reason in found["reasons"]:
        stdout.print(f"- {reason}", markup=False, soft_wrap=True)
    for rejected in found["rejected"]:
        cell = rejected["cell"]
        said = f"  not {cell['engine']} {cell['precision']}, batch {cell['batch']}: "
        stdout.print(said + rejected["why"], markup=False, soft_wrap=True)
