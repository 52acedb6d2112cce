"""What a model may be called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.models.names import check_name, name_from
from sightline_engines.errors import ModelFileError


@pytest.mark.parametrize("name", ["a", "yolox-nano", "My_Model.v2", "8", "a" * 64])
def test_plain_words_are_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        "a\\b",
        "/etc",
        ".hidden",
        "-x",
        "a b",
        "a\n",
        "ü",
        "a" * 65,
        "a.",
    ],
)
def test_whatever_could_leave_the_folder_or_confuse_a_shell_is_none(name: str) -> None:
    with pytest.raises(ModelFileError, match="can't be a model's name"):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "model"),
        ("...", "model"),
        ("best", "best"),
        ("my model (1)", "my-model-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("Größe", "Gr-e"),
    ],
)
def test_a_name_is_made_from_any_text(text: str, name: str) -> None:
    assert name_from(text) == name


@given(st.text(max_size=300))
def test_every_made_name_is_fine_and_stays_in_its_folder(text: str) -> None:
    name = check_name(name_from(text))
    assert (Path("/models") / name).resolve().parent == Path("/models")
