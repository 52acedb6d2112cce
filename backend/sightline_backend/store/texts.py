"""What people may write about a model: bounded, and fit for every database."""

from __future__ import annotations

from sightline_engines.errors import ModelFileError

DESCRIPTION_LENGTH = 4000
LICENCE_LENGTH = 200
SOURCE_LENGTH = 2000
REASON_LENGTH = 2000


def checked(what: str, text: str, most: int) -> str:
    """Return a text as it is kept; raises ModelFileError for one that is too long."""
    if len(text) > most:
        raise ModelFileError(f"The {what} has {len(text)} characters; it may have {most}.")
    return clean(text, most)


def clean(text: str, most: int) -> str:
    """Return a text cut to a length, without what no database keeps: NUL, halves of characters."""
    return text.replace("\0", "")[:most].encode("utf-8", "replace").decode().strip()
