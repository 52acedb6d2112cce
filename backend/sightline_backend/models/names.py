"""What a model may be called: one plain word that is safe as a folder's name anywhere."""

from __future__ import annotations

import re

from sightline_engines.errors import ModelFileError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def check_name(name: str) -> str:
    """Return a name that is fine; raises ModelFileError with one that would be."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise ModelFileError(
            f"{name[:80]!r} can't be a model's name: use up to 64 letters, digits, dots, dashes "
            f"and underscores, beginning with a letter or digit, such as {name_from(name)!r}."
        )
    return name


def name_from(text: str) -> str:
    """Return a fine name that is close to some text: "my model (1)" -> "my-model-1"."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text[:200]).strip("._-")[:64].rstrip("._-")
    return cleaned or "model"
