"""`sightline triton bench` and `sweep`: how fast a model on a Triton is, and its best setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sightline_backend.cli.console import fail, plain_errors
from sightline_backend.cli.triton_bench_options import (
    Asked,
    bench_options,
    numbers,
    preferred_sets,
    stoppable,
)
from sightline_backend.cli.triton_options import (
    NO_ADDRESS,
    NO_REPOSITORY,
    AsJson,
    GrpcUrl,
    HttpUrl,
    Protocol,
    RepositoryFolder,
    settings_of,
)

if TYPE_CHECKING:
    from sightline_backend.settings import Settings
    from sightline_engines.triton.options import TritonOptions

Model = Annotated[str, typer.Argument(help="A model that this Triton has loaded.")]
Picture = Annotated[
    list[Path] | None,
    typer.Option(help="Sent to a model that takes pictures; once for each. A rendered one else."),
]
Shape = Annotated[
    list[str] | None,
    typer.Option(help="Of an input with an open side, without the batch: NAME:3,640,640."),
]
Batch = Annotated[int, typer.Option(min=1, help="Pictures a request.")]
Window = Annotated[float, typer.Option("--window-s", min=0.1, help="Seconds of a window.")]
Tolerance = Annotated[
    float,
    typer.Option(min=0.001, help="The last three windows may differ so much from their mean."),
]
MostWindows = Annotated[int, typer.Option(min=3, help="Measured at most.")]
Warmup = Annotated[int, typer.Option(min=0, help="Requests before those that count.")]
Timeout = Annotated[float, typer.Option("--timeout-s", min=0.1, help="Of a request.")]
Processes = Annotated[
    int, typer.Option(min=1, help="That make the load; one sends up to some 2,500 requests/s.")
]
Output = Annotated[Path | None, typer.Option(help="File to write: .json or .csv.")]
Quantile = Literal["p50", "p90", "p95", "p99"]


def bench(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Model,
    concurrency: Annotated[
        str, typer.Option(help="Requests in flight, such as 1,4,16; 1 if nothing is given.")
    ] = "",
    rate: Annotated[
        str, typer.Option(help="Instead: requests a second, whatever the answers take: 50,100.")
    ] = "",
    poisson: Annotated[
        bool, typer.Option("--poisson", help="With --rate: at random, not at even distances.")
    ] = False,
    most_in_flight: Annotated[int, typer.Option(min=1, help="With --rate.")] = 64,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Measure so many, and no windows.")
    ] = None,
    batch: Batch = 1,
    picture: Picture = None,
    shape: Shape = None,
    window_s: Window = 5.0,
    tolerance: Tolerance = 0.1,
    most_windows: MostWindows = 10,
    warmup: Warmup = 10,
    timeout_s: Timeout = 30.0,
    processes: Processes = 1,
    perf_analyzer: Annotated[
        str,
        typer.Option(
            help="NVIDIA's program, to measure the same beside it: a path, auto for the one on "
            "the PATH if there is one, or no."
        ),
    ] = "auto",
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Load a model on Triton and show throughput, latency and where the server spends the time.

    Requests in flight: the next is sent when an answer comes. A rate: a request's latency counts
    from when it was due. Measured are windows until the last three agree. Ctrl-C keeps what was
    measured. The exit status is 1 where a request failed or a measurement was cut short.
    """
    from sightline_backend.cli.triton_bench_runs import Run, measure_all, program, write_runs
    from sightline_backend.cli.triton_bench_tables import show_runs

    _check_output(output)
    triton = _triton(settings_of(grpc_url, http_url, protocol))
    asked = Asked(
        concurrency=concurrency,
        rate=rate,
        poisson=poisson,
        most_in_flight=most_in_flight,
        requests=requests,
        batch=batch,
        pictures=tuple(picture or ()),
        shapes=tuple(shape or ()),
        window_s=window_s,
        tolerance=tolerance,
        most_windows=most_windows,
        warmup=warmup,
        timeout_s=timeout_s,
        processes=processes,
    )
    runs: list[Run] = []
    with plain_errors(), stoppable() as (tell, stop):
        runs = measure_all(bench_options(model, triton, asked), program(perf_analyzer), tell, stop)
    if output is not None:
        with plain_errors():
            write_runs(runs, output)
    if as_json:
        print(json.dumps([run.to_dict() for run in runs], indent=2))
    else:
        show_runs(runs)
    if stop.is_set() or any(not run.measured.complete or run.measured.failed for run in runs):
        raise typer.Exit(1)


def sweep(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Model,
    latency_limit_ms: Annotated[float, typer.Option(min=0.001, help="That must be kept.")],
    quantile: Annotated[Quantile, typer.Option(help="Of which latency.")] = "p99",
    instances: Annotated[str, typer.Option(help="To try, on each GPU or on the CPU.")] = "1,2",
    preferred_batches: Annotated[
        str, typer.Option(help="To try; any, or sizes with + between them: any,4,4+8.")
    ] = "any",
    queue_delays_us: Annotated[str, typer.Option(help="To try, in µs.")] = "0,1000",
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 8,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Instead: requests a second, at random.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--write/--no-write", help="Leave the best in the config, and loaded.")
    ] = True,
    batch: Batch = 1,
    picture: Picture = None,
    shape: Shape = None,
    window_s: Window = 2.0,
    tolerance: Tolerance = 0.1,
    most_windows: MostWindows = 10,
    warmup: Warmup = 10,
    timeout_s: Timeout = 30.0,
    processes: Processes = 1,
    grpc_url: GrpcUrl = None,
    http_url: HttpUrl = None,
    protocol: Protocol = None,
    repository: RepositoryFolder = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Try instances, preferred batches and queue delays; leave the fastest that keeps the limit.

    Of a deployed model the network behind its name is changed, while it serves. A failure and
    Ctrl-C put back what was there. The exit status is 1 if no setting keeps the limit.
    """
    from sightline_backend.cli.triton_bench_runs import write_swept
    from sightline_backend.cli.triton_bench_tables import show_swept
    from sightline_engines.triton.bench.choice import Limit
    from sightline_engines.triton.bench.sweep import SweepOptions
    from sightline_engines.triton.bench.sweep import sweep as run_sweep

    _check_output(output)
    settings = settings_of(grpc_url, http_url, protocol, repository)
    triton = _triton(settings)
    if settings.triton_repository is None:
        fail(NO_REPOSITORY)
    asked = Asked(
        concurrency="" if rate else str(concurrency),
        rate=f"{rate:g}" if rate else "",
        poisson=True,
        batch=batch,
        pictures=tuple(picture or ()),
        shapes=tuple(shape or ()),
        window_s=window_s,
        tolerance=tolerance,
        most_windows=most_windows,
        warmup=warmup,
        timeout_s=timeout_s,
        processes=processes,
    )
    with plain_errors(), stoppable() as (tell, stop):
        options = SweepOptions(
            repository=settings.triton_repository,
            bench=bench_options(model, triton, asked)[0],
            limit=Limit(latency_limit_ms, quantile),
            instances=numbers("--instances", instances, least=1),
            preferred_batch_sizes=preferred_sets(preferred_batches),
            max_queue_delays_us=numbers("--queue-delays-us", queue_delays_us),
            write=keep,
        )
        swept = run_sweep(options, tell, stop)
        if output is not None:
            write_swept(swept, output)
    if as_json:
        print(json.dumps(swept.to_dict(), indent=2))
    else:
        show_swept(swept, options.limit)
    if swept.choice.best is None or not swept.complete:
        raise typer.Exit(1)


def _triton(settings: Settings) -> TritonOptions:
    if settings.triton is None:
        fail(NO_ADDRESS)
    return settings.triton


def _check_output(output: Path | None) -> None:
    if output is not None and output.suffix.lower() not in (".json", ".csv"):
        fail(f"{output.name} can't be written: name the file .json or .csv.")
