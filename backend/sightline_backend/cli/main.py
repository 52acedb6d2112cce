"""`sightline`: one file a command."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline_backend.cli.benchmark import benchmark
from sightline_backend.cli.convert import convert
from sightline_backend.cli.detect import detect
from sightline_backend.cli.doctor import doctor
from sightline_backend.cli.jobs import jobs
from sightline_backend.cli.models import models
from sightline_backend.cli.pipeline import tune
from sightline_backend.cli.promote import promote, rollback, shadow
from sightline_backend.cli.serve import serve
from sightline_backend.cli.triton import triton
from sightline_backend.cli.up import up

app = typer.Typer(
    help="Live video detection: a page, a server, and a detector for files.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(up)
app.command()(serve)
app.command()(detect)
app.add_typer(models, name="models")
for change in (promote, rollback, shadow):
    models.command()(change)
app.command()(convert)
app.command()(benchmark)
app.command()(tune)
app.add_typer(jobs, name="jobs")
app.add_typer(triton, name="triton")
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from sightline_backend.version import VERSION

        print(f"sightline {VERSION}")
        raise typer.Exit


@app.callback()
def sightline(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say it.")
    ] = False,
) -> None:
    """Live video detection: a page, a server, and a detector for files."""


if __name__ == "__main__":
    app()
