"""Where the commands write: what was asked for to stdout, everything else to stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from sightline_engines.errors import SightlineError

# highlight off: Rich would colour numbers and paths within sentences
stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)


def say_error(message: str) -> None:
    """Write an error's sentence to stderr, as it is: file names may hold brackets."""
    stderr.print("error: ", style="bold red", end="")
    stderr.print(message, markup=False, soft_wrap=True)


def fail(message: str) -> NoReturn:
    """Write an error's sentence and end with status 1."""
    say_error(message)
    raise typer.Exit(1)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors meant for a person, and the system's own, into a sentence and status 1."""
    try:
        yield
    except SightlineError as error:
        fail(error.message)
    except BrokenPipeError:
        raise  # the reader of our output left: Typer ends quietly
    except OSError as error:
        fail(f"{error.filename or 'The system'}: {error.strerror or error}.")
