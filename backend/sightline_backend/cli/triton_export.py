"""`sightline triton export`: from a PyTorch module to a model that Triton serves, in one call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout
from sightline_backend.cli.triton_signals import ended_by_signals

if TYPE_CHECKING:
    from sightline_engines.exporter.exporter import ServingExporter
    from sightline_engines.exporter.results import MadeFile, PipelineResult
    from sightline_engines.triton.server import ServerOptions

_PORTS = {"grpc": 8001, "http": 8000}  # Triton's own


def export(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Annotated[
        str,
        typer.Argument(
            help="TorchScript (.pt), an ONNX file, or package.module:factory of your own code. A "
            "program that runs with your rights, as with `python`."
        ),
    ],
    model_name: Annotated[str, typer.Option(help="What it is called at Triton.")],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="int8 needs --calibration.")
    ] = "fp32",
    max_batch_size: Annotated[
        int, typer.Option(help="Most items at once; 0: the model has no batch.")
    ] = 8,
    input: Annotated[
        list[str] | None,
        typer.Option(
            help="In forward()'s order, without the batch: name:3x224x224, or with its kind "
            "name:128:int64. Once for each; input:3x224x224 if not given."
        ),
    ] = None,
    dynamic_axes: Annotated[
        list[str] | None,
        typer.Option(help="Open sides, the batch being axis 0: name:2=height,3=width."),
    ] = None,
    axis_range: Annotated[
        list[str] | None,
        typer.Option(help="An open side's least and greatest, for TensorRT: height:32..640."),
    ] = None,
    output_names: Annotated[
        str, typer.Option(help="By commas; output0, … or the module's dict's if not given.")
    ] = "",
    opset_version: Annotated[int, typer.Option(help="Of the ONNX file.")] = 17,
    workspace_size_gb: Annotated[
        float, typer.Option(help="GPU memory that TensorRT's builder may take.")
    ] = 4.0,
    target_latency_ms: Annotated[
        float | None, typer.Option(help="p99 to keep; the exit status is 1 if it isn't met.")
    ] = None,
    platform: Annotated[
        Literal["onnxruntime", "tensorrt_plan"], typer.Option(help="What runs it at Triton.")
    ] = "onnxruntime",
    instance_count: Annotated[int, typer.Option(help="On each GPU, or on the CPU.")] = 1,
    preferred_batch_sizes: Annotated[str, typer.Option(help="By commas, such as 4,8.")] = "",
    max_queue_delay_us: Annotated[
        int, typer.Option(help="Longest wait for a fuller batch; 0: none.")
    ] = 0,
    gpus: Annotated[
        str | None, typer.Option(help="Such as 0,1; cpu for none; Triton's choice if not given.")
    ] = None,
    triton_url: Annotated[
        str | None,
        typer.Option(help="host:port of the protocol; the settings' if not given."),
    ] = None,
    protocol: Annotated[
        Literal["grpc", "http"] | None, typer.Option(help="How Triton is asked.")
    ] = None,
    num_warmup_requests: Annotated[int, typer.Option(help="Before those that count.")] = 20,
    num_requests: Annotated[int, typer.Option(help="That are measured.")] = 200,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.")] = 1,
    skip_export: Annotated[
        bool, typer.Option("--skip-export", help="Take the ONNX file that is in --output.")
    ] = False,
    skip_trt: Annotated[
        bool, typer.Option("--skip-trt", help="Take the TensorRT plan that is in --output.")
    ] = False,
    skip_benchmark: Annotated[
        bool, typer.Option("--skip-benchmark", help="Deploy without measuring.")
    ] = False,
    start_server: Annotated[
        bool,
        typer.Option("--start-server", help="Start a tritonserver here, measure, and end it."),
    ] = False,
    server_program: Annotated[
        Path | None, typer.Option(help="tritonserver; from the PATH if not given.")
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(help="Triton's model repository; SIGHTLINE_TRITON_REPOSITORY if not given."),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for NAME.onnx and NAME.plan; made if it isn't there.")
    ] = Path("export"),
    calibration: Annotated[
        Path | None,
        typer.Option(help=".npz with an array for each input, its first axis the samples."),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option("--allow-pickle", help="Open a pickled .pt: it runs whatever it says."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write everything for programs.")] = False,
) -> None:
    """Export a module, build a plan if asked, deploy it to Triton and measure it.

    Each export is a new version, which Triton swaps to once it is loaded. If it can't be loaded or
    answers otherwise than the module, the version before it serves on.
    """
    from sightline_backend.cli.configuration import read_settings
    from sightline_engines.exporter.checks import local_server
    from sightline_engines.exporter.create import create_exporter
    from sightline_engines.exporter.words import (
        read_axes,
        read_gpus,
        read_inputs,
        read_numbers,
        read_ranges,
    )

    settings = read_settings(triton_repository=repository)
    chosen = protocol or settings.triton_protocol
    known = settings.triton_grpc_url if chosen == "grpc" else settings.triton_http_url
    with plain_errors(), _wrong_words():
        inputs = read_inputs(input or ["input:3x224x224"])
        words: dict[str, Any] = {
            "precision": precision,
            "max_batch_size": max_batch_size,
            "input_shapes": inputs.shapes,
            "input_types": inputs.types,
            "dynamic_axes": read_axes(dynamic_axes or ()),
            "axis_ranges": read_ranges(axis_range or ()),
            "output_names": tuple(name.strip() for name in output_names.split(",") if name.strip()),
            "opset_version": opset_version,
            "workspace_size_gb": workspace_size_gb,
            "target_latency_ms": target_latency_ms,
            "platform": platform,
            "instance_count": instance_count,
            "preferred_batch_sizes": read_numbers("--preferred-batch-sizes", preferred_batch_sizes),
            "max_queue_delay_us": max_queue_delay_us,
            "gpus": read_gpus(gpus),
            "triton_url": triton_url or known or f"localhost:{_PORTS[chosen]}",
            "protocol": chosen,
            "num_warmup_requests": num_warmup_requests,
            "num_requests": num_requests,
            "concurrency": concurrency,
            "repository": settings.triton_repository,
            "output": output,
            "calibration": calibration,
        }
        exporter = create_exporter(None, model_name, **words)
    with plain_errors():
        server = None
        if start_server:
            server = local_server(settings.triton_repository or Path(), server_program)
        wanted = _Wanted(skip_export, skip_trt, skip_benchmark, server, allow_pickle)
        with ended_by_signals():
            done = _run(exporter, model, wanted)
    if as_json:
        stdout.print_json(json.dumps(done.to_dict()))
    else:
        _say(done)
    if done.benchmark is not None and done.benchmark.target_met is False:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which steps are to run, and how."""

    skip_export: bool
    skip_trt: bool
    skip_benchmark: bool
    server: ServerOptions | None
    allow_pickle: bool


def _run(exporter: ServingExporter, model: str, wanted: _Wanted) -> PipelineResult:
    """Run the steps; the model is opened once it is known that they can run."""
    from sightline_engines.exporter.source import open_source

    skips = {"skip_export": wanted.skip_export, "skip_trt": wanted.skip_trt}
    if model.lower().endswith(".onnx"):
        exporter.model = Path(model)
    exporter.check(**skips, server=wanted.server)
    if exporter.model is None and not wanted.skip_export:
        with stderr.status("opening the model …"):
            exporter.model = open_source(model, allow_pickle=wanted.allow_pickle)
    with stderr.status("") as shown:
        return exporter.deploy_full_pipeline(
            **skips,
            skip_benchmark=wanted.skip_benchmark,
            server=wanted.server,
            progress=lambda share, doing: shown.update(f"{share:4.0%} {doing} …"),
        )


@contextmanager
def _wrong_words() -> Iterator[None]:
    """Say which option has a value that doesn't fit."""
    try:
        yield
    except ValueError as error:
        fail(f"{str(error).rstrip('.')}.")


def _say(done: PipelineResult) -> None:
    """Write what was made, how near it is to the module, and how fast."""
    parity, onnx = done.deployed.parity, done.onnx
    lines = [f"{onnx.file.path}  {onnx.precision}, opset {onnx.opset}, {_size(onnx.file)}"]
    if done.plan is not None:
        lines.append(
            f"{done.plan.file.path}  TensorRT {done.plan.tensorrt}, {_size(done.plan.file)}"
        )
    lines += [
        f"{done.files.model.path}  version {done.files.version} at {done.deployed.url}",
        f"answers as {parity.source}: off by {parity.error:.2g} of {parity.limit:g} allowed, on "
        f"{parity.samples} samples",
    ]
    measured = done.benchmark
    if measured is not None:
        lines.append(
            f"{measured.throughput:.1f} requests/s, p50 {measured.p50_ms:.2f} ms, p95 "
            f"{measured.p95_ms:.2f} ms, p99 {measured.p99_ms:.2f} ms, {measured.failures} failed"
        )
        if measured.target_met is not None:
            word = "met" if measured.target_met else "not met"
            lines.append(f"the target of {measured.target_latency_ms:g} ms at p99 is {word}")
    for line in lines:
        stdout.print(line, markup=False, soft_wrap=True)
    for note in (*onnx.notes, *(done.plan.notes if done.plan is not None else ())):
        stderr.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _size(file: MadeFile) -> str:
    return f"{file.size_bytes / 1e6:.1f} MB"
