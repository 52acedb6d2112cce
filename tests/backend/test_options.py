"""What a caller asks for becomes the options of a detection."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.errors import UnknownClassError
from sightline_backend.options import class_ids, detect_options, in_force, known_to, merged
from sightline_engines.wire import Settings
from tests.fakes import SPEC, named

LABELS = ("cat", "7", "hot dog")


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ([], None),
        (["", " "], None),
        (["cat"], {0}),
        ([" cat "], {0}),
        (["hot dog"], {2}),
        (["0", "2"], {0, 2}),
        (["7"], {1}),  # a label that is a number comes before the id
        (["cat", "0"], {0}),
    ],
)
def test_classes_are_found_by_name_then_by_id(asked: list[str], ids: set[int] | None) -> None:
    assert class_ids(asked, LABELS) == ids


@pytest.mark.parametrize("name", ["dog", "3", "-1", "1.0", "²", "9" * 5000, "CAT"])
def test_an_unknown_class_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownClassError, match="cat, 7, hot dog"):
        class_ids([name], LABELS)


def test_a_long_list_of_labels_is_cut_in_the_message() -> None:
    with pytest.raises(UnknownClassError, match="and 80 more"):
        class_ids(["x"], [f"class{i}" for i in range(100)])


@given(st.lists(st.text()))
def test_no_text_breaks_the_search_for_a_class(asked: list[str]) -> None:
    with suppress(UnknownClassError):
        ids = class_ids(asked, LABELS)
        assert ids is None or ids <= {0, 1, 2}


def test_what_isnt_asked_for_takes_the_models_default() -> None:
    options = detect_options(SPEC, Settings())
    assert (options.conf, options.iou, options.max_detections) == (0.25, 0.45, 300)
    assert options.classes is None
    asked = detect_options(SPEC, Settings(conf=0.0, iou=1.0, classes=("face",), max_detections=1))
    assert (asked.conf, asked.iou, asked.max_detections) == (0.0, 1.0, 1)
    assert asked.classes == frozenset({1})


def test_settings_in_force_read_back_as_the_same_options() -> None:
    options = detect_options(SPEC, Settings(conf=0.5, classes=("1", "person")))
    assert detect_options(SPEC, in_force(SPEC, options)) == options


def test_merging_changes_only_what_is_set() -> None:
    old = Settings(conf=0.5, classes=("face",))
    assert merged(old, Settings()) == old
    assert merged(old, Settings(conf=0.0)) == Settings(conf=0.0, classes=("face",))
    assert merged(old, Settings(classes=())) == Settings(conf=0.5, classes=())


def test_classes_that_another_model_lacks_are_left_out() -> None:
    other = named("other", ("face", "dog"))
    assert known_to(other, Settings()) == Settings()
    assert known_to(other, Settings(classes=("person", "face"))) == Settings(classes=("face",))
