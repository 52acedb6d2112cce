"""`sightline models`: the models that are here, and those that can be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.console import plain_errors, stderr, stdout

if TYPE_CHECKING:
    from sightline_engines.types import ModelSpec

models = typer.Typer(help="List, fetch, add and remove models.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A model's name.")]


@models.command("list")
def list_models() -> None:
    """Show the models that are here, and those that can be fetched."""
    from rich.table import Table
    from rich.text import Text

    from sightline_backend.cli.configuration import model_store
    from sightline_backend.models.catalogue import CATALOGUE

    store = model_store()
    table = Table("Name", "Head", "Input", "Classes", "Licence", "", box=None)
    here = store.list()
    for spec in here:
        size = "x".join(map(str, spec.input_size_wh))
        about = _short(", ".join(spec.labels))
        row = (spec.name, spec.family, size, str(len(spec.labels)), spec.licence, about)
        table.add_row(*map(Text, row))
    for broken in store.broken():
        table.add_row(Text(broken.name), "", "", "", "", Text(broken.problem, "red"))
    names = {spec.name for spec in here}
    for entry in CATALOGUE:
        if entry.name not in names:
            about = f"{entry.about} ({entry.size_bytes / 1e6:.1f} MB to pull)"
            table.add_row(Text(entry.name), "", "", "", entry.licence, Text(about), style="dim")
    stdout.print(table)
    stderr.print(f"Added models lie in {store.folder}", style="dim", markup=False, soft_wrap=True)


@models.command()
def pull(name: Name) -> None:
    """Fetch a model of the catalogue from its authors' address; an interrupted one goes on."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from sightline_backend.cli.configuration import model_store
    from sightline_backend.models.catalogue import catalogue_model
    from sightline_backend.models.fetch import fetch

    with plain_errors():
        entry = catalogue_model(name)
        stderr.print(f"{entry.name}, licence {entry.licence}, from {entry.url}", soft_wrap=True)
        columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(
            *columns, console=stderr, transient=True, disable=not stderr.is_terminal
        ) as progress:
            task = progress.add_task(name, total=entry.size_bytes)
            spec = fetch(
                entry, model_store(), lambda there, _: progress.update(task, completed=there)
            )
    _say_ready(spec)


@models.command()
def add(
    file: Annotated[Path, typer.Argument(help="An ONNX file; a sidecar beside it is read too.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; the file's name if not given.")
    ] = None,
) -> None:
    """Copy your own ONNX file to the models; refused if it can't be run."""
    from sightline_backend.cli.configuration import model_store

    with plain_errors():
        spec = model_store().add(file, name)
    _say_ready(spec)


@models.command()
def show(name: Annotated[str, typer.Argument(help="A model's name, or an ONNX file.")]) -> None:
    """Show what is known of a model."""
    from dataclasses import asdict

    from rich.table import Table
    from rich.text import Text

    from sightline_backend.cli.configuration import model_store

    with plain_errors():
        spec = model_store().find(name)
    table = Table(box=None, show_header=False)
    for field, value in asdict(spec).items():
        table.add_row(Text(field, "bold"), Text(_readable(value)))
    stdout.print(table)


@models.command()
def remove(name: Name) -> None:
    """Delete an added or fetched model."""
    from sightline_backend.cli.configuration import model_store

    with plain_errors():
        model_store().remove(name)
    stderr.print(f"{name} is removed.", markup=False)


def _say_ready(spec: ModelSpec) -> None:
    said = (
        f"{spec.name} is ready: {spec.family}, {len(spec.labels)} classes, "
        f"licence {spec.licence}, SHA-256 {spec.sha256}"
    )
    stderr.print(said, markup=False, soft_wrap=True)
    for note in spec.notes:
        stderr.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    stderr.print(f"Use it: sightline up --model {spec.name}", markup=False, soft_wrap=True)


def _readable(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(map(str, value)) or "none"
        case None:
            return "any"
        case _:
            return str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
