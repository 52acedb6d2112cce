"""What `sightline triton deploy` is told of how Triton is to run a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sightline_backend.cli.console import fail

if TYPE_CHECKING:
    from sightline_engines.triton.config import TritonConfig

Platform = Annotated[
    Literal["onnxruntime", "tensorrt_plan"] | None,
    typer.Option(help="What runs it there; what the artefact is for if not given."),
]
InstanceCount = Annotated[
    int | None, typer.Option(min=1, help="Instances on each GPU, or on the processor; 1.")
]
PreferredBatchSizes = Annotated[
    str | None, typer.Option(help="Such as 4,8; as many pictures as wait if not given.")
]
MaxQueueDelayUs = Annotated[
    int | None, typer.Option(min=0, help="Longest wait for a fuller batch, µs; 0: none.")
]
Gpus = Annotated[
    str | None, typer.Option(help="Such as 0,1; cpu for none; as Triton chooses if not given.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A JSON object with any of these; options outweigh it."),
]
Further = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other, such as response_cache=true."),
]


def config_of(  # noqa: PLR0913, PLR0917  each is an option of the command
    file: Path | None = None,
    platform: str | None = None,
    instance_count: int | None = None,
    preferred_batch_sizes: str | None = None,
    max_queue_delay_us: int | None = None,
    gpus: str | None = None,
    further: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the fields of a TritonConfig that were given, options before the file's.

    Ends the program with a sentence about what can't be one.
    """
    named: dict[str, Any] = {
        "platform": platform,
        "instance_count": instance_count,
        "preferred_batch_sizes": _numbers("--preferred-batch-sizes", preferred_batch_sizes),
        "max_queue_delay_us": max_queue_delay_us,
        "gpus": [] if gpus == "cpu" else _numbers("--gpus", gpus),
    }
    given = {name: value for name, value in named.items() if value is not None}
    fields = {**_read(file), **dict(_pair(text) for text in further), **given}
    checked(fields)
    return fields


def checked(fields: Mapping[str, Any]) -> TritonConfig:
    """Return the config that fields make; ends the program with what is wrong with them."""
    from sightline_engines.triton.config import TritonConfig

    try:
        return TritonConfig.from_dict(fields)
    except ValueError as error:
        fail(str(error))


def _numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        fail(f"{option} {text!r} is no list of numbers; write it as 1,2.")
    return [int(word) for word in words]


def _pair(text: str) -> tuple[str, Any]:
    """Return a field and its value, which is JSON; a word that isn't is a text."""
    name, equals, value = text.partition("=")
    if not equals:
        fail(f"--set {text!r} sets nothing; write it as response_cache=true.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{file}: {error.strerror}.")
    except ValueError as error:
        fail(f"{file} isn't JSON: {error}.")
    if not isinstance(fields, dict):
        fail(f'{file} has no settings: one object is needed, such as {{"instance_count": 2}}.')
    return fields
