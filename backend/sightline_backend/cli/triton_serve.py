"""`sightline triton serve`: a tritonserver on this machine, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout
from sightline_backend.cli.triton_options import RepositoryFolder
from sightline_backend.cli.triton_signals import ended_by_signals

if TYPE_CHECKING:
    from sightline_engines.triton.server import ServerOptions, TritonServer

_POLL_S = 0.2

GrpcPort = Annotated[int, typer.Option(min=1, max=65535, help="For gRPC.")]
HttpPort = Annotated[int, typer.Option(min=1, max=65535, help="For HTTP; 8000 is Sightline's.")]
MetricsPort = Annotated[int, typer.Option(min=1, max=65535, help="For Prometheus.")]


def serve(  # noqa: PLR0913, PLR0917  each is an option of the command
    repository: RepositoryFolder = None,
    program: Annotated[
        Path | None, typer.Option(help="tritonserver; searched for on the PATH if not given.")
    ] = None,
    backends: Annotated[
        Path | None,
        typer.Option(help="Folder of its backends; beside the program's folder if not given."),
    ] = None,
    caches: Annotated[
        Path | None, typer.Option(help="Folder of its caches; the same if not given.")
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="The interpreter for its Python steps; the PATH's python3 if not given."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="File of its log; beside the repository if not given.")
    ] = None,
    grpc_port: GrpcPort = 8001,
    http_port: HttpPort = 8003,
    metrics_port: MetricsPort = 8002,
    ready_s: Annotated[float, typer.Option(min=1, help="Longest wait for its start, s.")] = 60,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGUMENTS…]", help="Further arguments of tritonserver."),
    ] = None,
) -> None:
    """Run a Triton on this machine alone, with what is deployed loaded; Ctrl-C ends it.

    The lines to set for Sightline go to the standard output once it is ready.
    """
    from sightline_backend.cli.configuration import read_settings
    from sightline_engines.triton.server import ServerOptions, TritonServer

    settings = read_settings(triton_repository=repository)
    folder = settings.triton_repository or settings.models_dir.parent / "triton"
    found = _program(program)
    beside = found.resolve().parent.parent
    with plain_errors():
        folder = _made(folder)
        options = ServerOptions(
            program=found,
            repository=folder,
            backends=backends or _there(beside / "backends"),
            caches=caches or _there(beside / "caches"),
            path=_path(python),
            load=_deployed(folder),
            # What is broken is told, and doesn't keep the rest from being served.
            arguments=("--exit-on-error=false", "--strict-readiness=false", *(arguments or ())),
            ready_s=ready_s,
        )
        server = TritonServer(options, log or folder.with_name(f"{folder.name}.log"))
        server.grpc_port, server.http_port, server.metrics_port = grpc_port, http_port, metrics_port
        _refuse_taken(server)
        with ended_by_signals():
            _run(server, options)


def _run(server: TritonServer, options: ServerOptions) -> None:
    """Start it, say what to set, and stay until it ends or somebody ends it."""
    try:
        with stderr.status("Triton starts …"):
            server.start()
        _announce(server, options)
        while server.running:
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        stderr.print("Triton ends …")
        return
    finally:
        server.stop()
    fail(f"Triton ended by itself; {server.log_file} says why.")


def _announce(server: TritonServer, options: ServerOptions) -> None:
    lines = {
        "SIGHTLINE_TRITON_GRPC_URL": server.grpc_url,
        "SIGHTLINE_TRITON_HTTP_URL": server.http_url,
        "SIGHTLINE_TRITON_METRICS_URL": server.metrics_url,
        "SIGHTLINE_TRITON_REPOSITORY": str(options.repository),
    }
    stderr.print("Triton is ready, on this machine alone.")
    if not options.load:
        stderr.print("Nothing is deployed yet: `sightline triton deploy MODEL`.")
    for said in _not_loaded(server, options.load):
        stderr.print(said, style="yellow", markup=False, soft_wrap=True)
    stderr.print(f"Its log is {server.log_file}", markup=False, soft_wrap=True)
    stderr.print("Set for Sightline; Ctrl-C ends Triton:")
    for name, value in lines.items():
        stdout.print(f"{name}={value}", markup=False, soft_wrap=True)
    stdout.file.flush()


def _not_loaded(server: TritonServer, names: Sequence[str]) -> list[str]:
    """Say of each name why it couldn't be loaded, if it couldn't."""
    from sightline_engines.triton.client import open_client
    from sightline_engines.triton.options import TritonOptions

    with open_client(TritonOptions(grpc_url=server.grpc_url)) as client:
        told = {one.name: one for one in client.index() if one.state == "READY"}
        reasons = {one.name: one.reason for one in client.index()}
    return [f"{name} can't be loaded: {reasons.get(name)}" for name in names if name not in told]


def _program(named: Path | None) -> Path:
    """Return the tritonserver to run; ends the program where there is none."""
    import shutil

    searched = shutil.which("tritonserver" if named is None else str(named))
    if searched is not None:
        return Path(searched)
    if named is not None:
        fail(f"{named} isn't a program that can be run.")
    fail(
        "There is no tritonserver on the PATH. NVIDIA's image has it (docs/triton.md); where it "
        "lies elsewhere, say so: --program /opt/tritonserver/bin/tritonserver"
    )


def _path(python: Path | None) -> str | None:
    """Return the PATH by which Triton finds the interpreter of its Python steps."""
    if python is None:
        return None
    if not python.is_file():
        fail(f"{python} isn't there: give the interpreter itself, such as .venv/bin/python3.")
    return f"{python.absolute().parent}:/usr/local/bin:/usr/bin:/bin"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _there(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


def _deployed(folder: Path) -> tuple[str, ...]:
    """Return the names to load at the start: those of each model's active deployment."""
    from sightline_engines.triton.deployments import Deployments
    from sightline_engines.triton.repository import Repository

    deployments = Deployments(Repository(folder))
    models = sorted({one.model for one in deployments.all()})
    active = [found for model in models if (found := deployments.active(model)) is not None]
    return tuple(name for one in active for name in (one.pictures, one.tensors))


def _refuse_taken(server: TritonServer) -> None:
    """End the program where a port is another's: Triton itself would say so late and at length."""
    from sightline_backend.cli import ports

    for option, port in (
        ("--grpc-port", server.grpc_port),
        ("--http-port", server.http_port),
        ("--metrics-port", server.metrics_port),
    ):
        if not ports.is_free("127.0.0.1", port):
            fail(f"{ports.holder(port)} has port {port}. Choose another: {option} {port + 10}")
