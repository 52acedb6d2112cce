"""`sightline models`: the models that are here, and those that can be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr, stdout

if TYPE_CHECKING:
    from sightline_backend.store.records import ScanReport
    from sightline_engines.types import ModelSpec

models = typer.Typer(help="List, fetch, add, change and remove models.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A model's name.")]
Licence = Annotated[str | None, typer.Option(help="Its licence, such as MIT.")]
Source = Annotated[str | None, typer.Option(help="Where it came from.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write it for programs.")]


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show the models that are here, and those that can be fetched."""
    from sightline_backend.cli.configuration import model_store
    from sightline_backend.cli.model_tables import listing, listing_json

    store = model_store()
    if as_json:
        print(listing_json(store))
        return
    stdout.print(listing(store, stdout.width))
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
def add(  # noqa: PLR0913, PLR0917  each is an option of the command
    file: Annotated[
        Path, typer.Argument(help="An ONNX file; a sidecar beside it is read too. Or a .pt file.")
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call it; the file's name if not given.")
    ] = None,
    version_of: Annotated[
        str | None, typer.Option(help="A model that it is a new version of.")
    ] = None,
    licence: Licence = None,
    source: Source = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Take a .pt file, which can run programs.")
    ] = False,
) -> None:
    """Copy your own model file to the models; refused if it can't be run or converted."""
    from sightline_backend.cli.configuration import model_store, read_settings
    from sightline_engines.types import Format, format_of

    with plain_errors():
        store = model_store()
        if name and version_of:
            fail("A new version has its model's name: give --name or --version-of, not both.")
        if format_of(file) is Format.TORCH:
            made = store.add_checkpoint(
                file,
                name,
                allow_pickle=allow_pickle or read_settings().allow_pickle,
                version_of=version_of,
                licence=licence,
                source=source,
            )
            _say(f"{made.model} has the checkpoint as version {made.version}; convert it next.")
        elif version_of:
            version = store.add_version(version_of, file, licence=licence, source=source)
            _say(
                f"{version_of} has it as version {version.number}, which serves once it is "
                "promoted."
            )
        else:
            _say_ready(store.add(file, name, licence=licence, source=source))


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="A model's name, or an ONNX file.")],
    as_json: AsJson = False,
) -> None:
    """Show what is known of a model: its versions, their files, and their measurements."""
    from sightline_backend.cli.configuration import store
    from sightline_backend.cli.model_tables import showing, showing_json

    with plain_errors():
        if as_json:
            print(showing_json(store(), name))
            return
        for table in showing(store(), name):
            stdout.print(table)


@models.command()
def rename(name: Name, new: Annotated[str, typer.Argument(help="Its new name.")]) -> None:
    """Give a model another name."""
    from sightline_backend.cli.configuration import model_store

    with plain_errors():
        model_store().rename(name, new)
    _say(f"{name} is called {new} now.")


@models.command()
def describe(name: Name, text: Annotated[str, typer.Argument(help="What it is for.")]) -> None:
    """Say what a model is for."""
    from sightline_backend.cli.configuration import model_store

    with plain_errors():
        model_store().describe(name, text)
    _say(f"{name} is described.")


@models.command()
def download(
    artefact: Annotated[int, typer.Argument(help="An artefact's number, from `models show`.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write it; a name of its own if not given."),
    ] = None,
) -> None:
    """Copy an artefact out of the store; an OpenVINO model comes as a zip."""
    from sightline_backend.cli.configuration import model_store
    from sightline_backend.zipped import download_files, download_name

    with plain_errors():
        found = model_store().artefact(artefact)
        target = output or Path(download_name(found))
        if target.is_dir():
            target /= download_name(found)
        with target.open("xb") as file:
            for chunk in download_files(found):
                file.write(chunk)
    _say(f"Wrote {target}")


@models.command()
def remove(
    name: Annotated[str | None, typer.Argument(help="A model's name, or NAME:VERSION.")] = None,
    artefact: Annotated[
        int | None, typer.Option(help="Delete this artefact alone; its number.")
    ] = None,
) -> None:
    """Delete a model, one version of it, or one artefact; refused while it is in use."""
    from sightline_backend.cli.configuration import model_store

    if (name is None) == (artefact is None):
        fail("Name a model, a version (NAME:VERSION), or --artefact NUMBER.")
    with plain_errors():
        if artefact is not None:
            model_store().remove_artefact(artefact)
            _say(f"Artefact {artefact} is removed.")
            return
        model, colon, number = str(name).partition(":")
        if not colon:
            model_store().remove(model)
        elif number.isdecimal():
            model_store().remove_version(model, int(number))
        else:
            fail(f"{number!r} is no version: give its number, such as {model}:2.")
    _say(f"{name} is removed.")


@models.command()
def scan(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of ONNX files; the store's own if not given.")
    ] = None,
) -> None:
    """Add a folder's ONNX files; or mend the store: lost records, leftovers, damaged files."""
    from sightline_backend.cli.configuration import store
    from sightline_backend.datasets import mend_datasets

    with plain_errors():
        whole = store()
        report = whole.models.scan(folder)
        if folder is None:
            mend_datasets(whole)
    _say_report(report)
    if report.missing or report.broken:
        raise typer.Exit(1)


def _say_report(report: ScanReport) -> None:
    for what, names in (
        ("added", report.added),
        ("its file is gone", report.missing),
        ("deleted, it belonged to nothing", report.orphaned),
    ):
        for one in names:
            stdout.print(f"{one}: {what}", markup=False, soft_wrap=True)
    for broken in report.broken:
        stdout.print(f"{broken.name}: {broken.problem}", markup=False, soft_wrap=True)
    found = len(report.added), len(report.missing), len(report.broken), len(report.orphaned)
    _say("{} added, {} missing, {} broken, {} deleted.".format(*found))


def _say_ready(spec: ModelSpec) -> None:
    _say(
        f"{spec.name} is ready: {spec.family}, {len(spec.labels)} classes, "
        f"licence {spec.licence}, SHA-256 {spec.sha256}"
    )
    for note in spec.notes:
        stderr.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    _say(f"Use it: sightline up --model {spec.name}")


def _say(sentence: str) -> None:
    stderr.print(sentence, markup=False, soft_wrap=True)
