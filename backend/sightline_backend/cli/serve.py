"""`sightline serve`: the server alone."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline_backend.cli.options import Device, Engine, Host, Model


def serve(
    host: Host = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="SIGHTLINE_PORT if not given, else 8000.")
    ] = None,
    model: Model = None,
    engine: Engine = None,
    device: Device = None,
) -> None:
    """Serve detections over HTTP and WebSocket, without the pages.

    Everything else is set by SIGHTLINE_* variables (docs/settings.md).
    """
    from sightline_backend.cli.configuration import read_settings
    from sightline_backend.cli.console import plain_errors
    from sightline_backend.logs import configure_logs
    from sightline_backend.loop import run
    from sightline_backend.server import serve as run_server

    settings = read_settings(host=host, port=port, model=model, engine=engine, device=device)
    configure_logs(settings)
    with plain_errors():
        run(run_server(settings))
