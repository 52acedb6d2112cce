"""Whether a folder of ours is the one that a Triton reads."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from sightline_engines.errors import DeployError

if TYPE_CHECKING:
    from sightline_engines.triton.client import Client

_MARK = ".incoming-mark-"  # the beginning of names that are swept, should we be killed here


def check_shared(client: Client, folder: Path) -> None:
    """Make a folder in the repository for a moment and look for it at Triton.

    Without this, names that are alike would have Triton load the files of its own folder. Raises
    DeployError where the folder isn't there, can't be written or isn't Triton's; EngineAwayError.
    """
    mark = folder / f"{_MARK}{secrets.token_hex(4)}"
    try:
        mark.mkdir()
    except OSError as error:
        raise DeployError(
            f"The model repository {folder} can't be written: {error.strerror}. Make the folder, "
            "let this user write it, and give it to Triton as --model-repository."
        ) from error
    try:
        seen = any(entry.name == mark.name for entry in client.index())
    finally:
        mark.rmdir()
    if not seen:
        raise DeployError(
            f"{folder} can be written, but Triton at {client.url} reads another folder. Give both "
            "the same one: Triton's --model-repository, SIGHTLINE_TRITON_REPOSITORY."
        )
