"""`sightline detect`: boxes for pictures and clips on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sightline_backend.cli.console import plain_errors, say_error, stderr
from sightline_backend.cli.options import Device, Engine, Model

if TYPE_CHECKING:
    from sightline_backend.cli.looking import Looker, Seen
    from sightline_backend.cli.reports import Report
    from sightline_engines.clip import ClipInfo


def detect(  # noqa: PLR0913, PLR0917  each is an option of the command
    inputs: Annotated[
        list[Path], typer.Argument(metavar="PICTURE_OR_CLIP…", help="Files to look at.")
    ],
    model: Model = None,
    conf: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score; the model's own if not given.")
    ] = None,
    iou: Annotated[
        float | None, typer.Option(min=0, max=1, help="Overlap above which two boxes are one.")
    ] = None,
    classes: Annotated[
        str, typer.Option(help="Names or ids, comma separated; all if not given.")
    ] = "",
    engine: Engine = None,
    device: Device = None,
    format_: Annotated[
        Literal["json", "csv", "image"],
        typer.Option("--format", help="image writes each input with its boxes drawn."),
    ] = "json",
    output: Annotated[
        Path | None, typer.Option(help="File to write; for image a file or a folder.")
    ] = None,
) -> None:
    """Detect objects in pictures and clips.

    JSON and CSV go to the standard output or into --output; drawn pictures (JPEG, or what
    --output's suffix says) and clips (MP4) into the current folder or where --output says. An
    input that can't be read, or not to its end, is named on the standard error, the others go
    on, and the exit status is 1.
    """
    from sightline_backend.cli.configuration import model_store, read_settings
    from sightline_backend.cli.looking import Looker
    from sightline_backend.cli.reports import open_report
    from sightline_backend.options import detect_options
    from sightline_engines.load import load_engine
    from sightline_engines.picture import PictureLimits
    from sightline_engines.wire import Settings as Asked

    settings = read_settings(model=model, engine=engine, device=device)
    with plain_errors():
        spec = model_store().find(settings.model)
        asked = Asked(conf=conf, iou=iou, classes=tuple(classes.split(",")))
        options = detect_options(spec, asked)
        with stderr.status(f"Loading {spec.name} …"):
            loaded = load_engine(
                spec,
                settings.engine,
                device=settings.device,
                threads=settings.threads,
                triton=settings.triton,
            )
        if loaded.served.fallback:
            stderr.print(f"note: {loaded.served.fallback}", style="yellow", markup=False)
        limits = PictureLimits(settings.max_upload_bytes, settings.max_pixels)
        looker = Looker(loaded, options, limits)
        try:
            with open_report(format_, output, spec.labels, inputs) as report:
                failed = _look_at_all(inputs, looker, report)
        finally:
            loaded.close()
    if failed:
        raise typer.Exit(1)


def _look_at_all(inputs: Sequence[Path], looker: Looker, report: Report) -> int:
    """Go through the inputs and return how many could not be read."""
    from sightline_engines.errors import ClipError, PictureError

    failed = 0
    for path in inputs:
        try:
            _look_at(path, looker, report)
        except (PictureError, ClipError) as error:
            say_error(f"{path}: {error.message}")
            report.failed(path, error)
            failed += 1
    return failed


def _look_at(path: Path, looker: Looker, report: Report) -> None:
    from sightline_backend.cli.looking import require_picture
    from sightline_engines.clip import probe_clip
    from sightline_engines.errors import ClipError, PictureFormatError

    try:
        require_picture(path)
    except PictureFormatError as no_picture:
        try:
            info = probe_clip(path)
        except ClipError as no_clip:
            raise PictureFormatError(f"{no_picture.message} {no_clip.message}") from no_clip
        with _progress(path.name, looker.clip(path), info) as frames:
            report.clip(path, info, frames)
    else:
        report.picture(path, looker.picture(path))


@contextmanager
def _progress(name: str, frames: Iterator[Seen], info: ClipInfo) -> Iterator[Iterator[Seen]]:
    """Show how far a clip is, on the standard error, for as long as its frames are taken."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(
        *columns, console=stderr, transient=True, disable=not stderr.is_terminal
    ) as progress:
        yield iter(progress.track(frames, total=info.frames, description=name))
