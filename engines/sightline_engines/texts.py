"""Texts out of files that anybody may have made: on one line, to be shown, and not too long."""

from __future__ import annotations

import unicodedata

LABEL_CHARS = 200  # of a class's name
MOST_LABELS = 10_000
_JOINERS = "\u200c\u200d"  # unprinted, and needed to write Persian and many others
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_REFUSED = frozenset(_TURNING + "\ufffe\uffff")  # the last two break XML, and so Excel's files


def plain(text: str, most: int) -> str | None:
    """Return a text on one line, None for one that is too long or can't be shown.

    Control characters, halves of characters and marks that turn the writing can't; other marks
    that print nothing are left out. Characters newer than Python's tables are fine.
    """
    if len(text) > most:
        return None
    line = _line(text)
    return None if any(map(_is_refused, line)) else line


def cut(text: str, most: int) -> str:
    """Return a text on one line without what can't be shown, and no longer than it may be."""
    return "".join("?" if _is_refused(c) else c for c in _line(text[: 4 * most]))[:most]


def _line(text: str) -> str:
    return " ".join("".join(c for c in text if not _is_left_out(c)).split())


def _is_left_out(char: str) -> bool:
    format_mark = not char.isascii() and unicodedata.category(char) == "Cf"
    return format_mark and char not in _JOINERS and char not in _REFUSED


def _is_refused(char: str) -> bool:
    return char in _REFUSED or unicodedata.category(char) in ("Cc", "Cs")
