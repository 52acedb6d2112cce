"""`sightline doctor`: what works on this machine, what doesn't, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.options import Device, Engine, Host, Model

if TYPE_CHECKING:
    from sightline_backend.cli.checks.check import Check
    from sightline_backend.settings import Settings

_STYLES = {"ok": "green", "info": "dim", "warn": "yellow", "fail": "bold red"}


def doctor(  # noqa: PLR0913, PLR0917  each is an option of the command
    backend_port: Annotated[
        int | None, typer.Option(envvar="BACKEND_PORT", min=1, max=65535, help="The server's.")
    ] = None,
    frontend_port: Annotated[
        int, typer.Option(envvar="FRONTEND_PORT", min=1, max=65535, help="The pages'.")
    ] = 8501,
    host: Host = None,
    model: Model = None,
    engine: Engine = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write it for programs.")] = False,
    gpu: Annotated[
        bool,
        typer.Option("--gpu", help="Instead build TensorRT plans, compare and measure; minutes."),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="With --gpu: a folder of pictures to calibrate INT8 on; drawn ones if not given.",
        ),
    ] = None,
) -> None:
    """Check camera, ports, engines, model, Triton, server and WebRTC; status 1 on a failure."""
    import json
    from dataclasses import asdict

    from sightline_backend.cli.configuration import read_settings

    settings = read_settings(
        host=host, port=backend_port, model=model, engine=engine, device=device
    )
    checks = list(_gpu_checks(settings, data) if gpu else _checks(settings, frontend_port))
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _show(checks)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def _checks(settings: Settings, frontend_port: int) -> Iterator[Check]:
    from sightline_backend.cli.checks import backend, camera, engine, ice, model, python, triton
    from sightline_backend.cli.ports import reachable
    from sightline_backend.store.store import open_store

    yield python.check_python()
    store = open_store(settings.models_dir, settings.database_url).models
    found, spec = model.check_model(store, settings.model)
    yield found
    yield from model.check_added(store)
    yield engine.check_gpu()
    yield from engine.check_choices()
    if spec is not None:
        yield engine.check_engine(settings, spec)
    yield from triton.check_triton(settings)
    yield backend.check_backend(reachable(settings.host), settings.port)
    yield backend.check_pages(reachable(settings.host), frontend_port)
    yield camera.check_camera()
    yield camera.check_secure_context(settings.host, frontend_port)
    yield from ice.check_ice()


def _gpu_checks(settings: Settings, data: Path | None) -> Iterator[Check]:
    """Check what plans need, then try all of it; what is missing is said and nothing is begun."""
    from sightline_backend.cli.checks import gpu, model
    from sightline_backend.cli.console import stderr
    from sightline_backend.store.store import open_store

    parts = gpu.check_parts()
    yield from parts
    found, spec = model.check_model(
        open_store(settings.models_dir, settings.database_url).models, settings.model
    )
    yield found
    pictures: list[Path] = []
    needed = [*parts[:2], found]
    if data is not None:
        pictures, named = gpu.pictures_in(data)
        needed.append(named)
        yield named
    if spec is None or any(check.state == "fail" for check in needed):
        return
    with stderr.status("starting") as status:
        rows = gpu.try_gpu(
            spec, lambda share, doing: status.update(f"{share:.0%} {doing}"), pictures
        )
    yield from gpu.rows_as_checks(rows)


def _show(checks: Sequence[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from sightline_backend.cli.console import stdout

    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        style = _STYLES[check.state]
        table.add_row(Text(check.state, style), Text(check.name, "bold"), Text(check.found))
        if check.mend:
            table.add_row("", "", Text(f"→ {check.mend}", style))
    stdout.print(table)
