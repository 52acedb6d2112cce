"""Texts out of files: what is shown, what is left out and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.texts import cut, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (" a\n b\t", "a b"),
        ("\U0001fa77 heart", "\U0001fa77 heart"),  # newer than some Pythons' tables
        ("\U0001fae9", "\U0001fae9"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4"),
        ("Donau\u00addampf", "Donaudampf"),
        ("\u200e\u05d0", "\u05d0"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",) * 2,
        ("\u202eb", None),
        ("\u2066b", None),
        ("\0", None),
        ("\x1b[31m", None),
        ("\ud800", None),
        ("\uffff", None),
        ("x" * 201, None),
    ],
)
def test_only_what_harms_is_refused(text: str, shown: str | None) -> None:
    assert plain(text, 200) == shown


@given(st.text(st.characters(), max_size=60))
def test_what_is_cut_can_be_shown(text: str) -> None:
    once = cut(text, 40)
    assert plain(once, 40) == once.strip()
