"""The wire format: what is written is read back, and nothing but WireError comes of the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.errors import WireError
from sightline_engines.types import Detections, Result, ServedModel, Timings
from sightline_engines.wire import (
    HEADER_BYTES,
    Dropped,
    Failure,
    FramePacket,
    Hello,
    ServerMessage,
    Settings,
    decode_frame,
    encode_frame,
    frame_id,
    message_from_json,
    message_to_json,
    settings_from_json,
    settings_to_json,
)

MODEL = ServedModel("m", "1", "openvino", "fp32", "CPU", "no GPU")
LABELS = ("person", "face")


def result(detections: Detections) -> Result:
    return Result(7, 2**53, (640, 480), detections, Timings(1, 2, 3, 4, 5, 15), MODEL, 2)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 65535),
    st.binary(min_size=1, max_size=100),
)
def test_a_frame_is_read_back_as_it_was_sent(seq: int, us: int, age: int, payload: bytes) -> None:
    message = encode_frame(FramePacket(seq, us, age, payload))
    assert len(message) == HEADER_BYTES + len(payload)
    found = decode_frame(message)
    assert (found.seq, found.captured_us, found.age_ms) == (seq, us, age)
    assert bytes(found.payload) == payload
    assert bytes(decode_frame(memoryview(message)).payload) == payload


@pytest.mark.parametrize(("age", "sent"), [(-5, 0), (0, 0), (65535, 65535), (10**9, 65535)])
def test_an_age_is_kept_within_its_field(age: int, sent: int) -> None:
    assert decode_frame(encode_frame(FramePacket(1, 2, age, b"x"))).age_ms == sent


@pytest.mark.parametrize("length", range(HEADER_BYTES + 1))
def test_a_frame_cut_within_its_header_or_without_picture_is_refused(length: int) -> None:
    message = encode_frame(FramePacket(1, 2, 3, b"picture"))
    with pytest.raises(WireError, match=f"got {length} bytes"):
        decode_frame(message[:length])


def test_a_frame_of_another_version_is_refused_with_both() -> None:
    message = b"\x09" + encode_frame(FramePacket(1, 2, 3, b"picture"))[1:]
    with pytest.raises(WireError, match="speaks frame version 1, the frame says 9"):
        decode_frame(message)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_frame_or_a_wire_error(message: bytes) -> None:
    try:
        assert len(decode_frame(message).payload) == len(message) - HEADER_BYTES
    except WireError:
        return


fraction = st.none() | st.floats(0, 1)
settings_strategy = st.builds(
    Settings,
    conf=fraction,
    iou=fraction,
    classes=st.none() | st.lists(st.text(max_size=5), max_size=3).map(tuple),
    max_detections=st.none() | st.integers(1, 1000),
    model=st.none() | st.text(max_size=8),
)


@given(settings_strategy)
def test_settings_are_read_back_as_they_were_sent(settings: Settings) -> None:
    assert settings_from_json(settings_to_json(settings)) == settings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[1]", "must be a JSON object, got list"),
        ("{}", "got type None"),
        ('{"type": "hello"}', "got type 'hello'"),
        ('{"type": "settings", "confidence": 1}', "Unknown setting 'confidence'; known are conf"),
        ('{"type": "settings", "conf": 1.5}', "conf must be a number from 0 to 1, got 1.5"),
        ('{"type": "settings", "conf": NaN}', "conf must be a number"),
        ('{"type": "settings", "iou": true}', "iou must be a number"),
        ('{"type": "settings", "max_detections": 0}', "max_detections must be a whole number"),
        ('{"type": "settings", "max_detections": 2.0}', "max_detections must be a whole number"),
        ('{"type": "settings", "classes": "person"}', "classes must be a list"),
        ('{"type": "settings", "classes": [1]}', "classes must be a list"),
        ('{"type": "settings", "model": 3}', "model must be text"),
    ],
)
def test_wrong_settings_are_refused_by_field(text: str, says: str) -> None:
    with pytest.raises(WireError, match=says):
        settings_from_json(text)


json_value: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
field_name = st.sampled_from(["conf", "iou", "classes", "max_detections", "model", "seq", "other"])


@given(st.dictionaries(field_name, json_value, max_size=4) | json_value, st.booleans())
def test_any_json_is_settings_or_a_wire_error(value: Any, typed: bool) -> None:
    if typed and isinstance(value, dict):
        value = {**value, "type": "settings"}
    try:
        assert isinstance(settings_from_json(json.dumps(value)), Settings)
    except WireError:
        return


@given(st.text(max_size=50))
def test_any_text_is_settings_or_a_wire_error(text: str) -> None:
    with pytest.raises(WireError):  # no such short text is a whole settings message
        settings_from_json(text)


@pytest.mark.parametrize(
    "message",
    [
        Hello(MODEL, LABELS, (416, 416), Settings(0.4, 0.5, ("face",), 10, "m"), 500, 2, 2**20),
        Hello(MODEL, (), (1, 1), Settings(), 0, 1, 1, ("a", "b")),
        Hello(MODEL, (), (1, 1), Settings(), 0, 1, 1, stream="3fa9c2" * 4),
        Settings(0.5),
        Dropped(3, "late"),
        Failure("bad_picture", "The picture is empty.", 4),
        Failure("bad_message", "No."),
    ],
)
def test_a_servers_message_is_read_back_as_it_was_sent(message: ServerMessage) -> None:
    assert message_from_json(message_to_json(message)) == message


def test_a_hello_of_an_older_or_a_newer_server_is_understood() -> None:
    hello = Hello(MODEL, (), (1, 1), Settings(), 0, 1, 1, stream="3fa9c2" * 4)
    fields = json.loads(message_to_json(hello))
    newer = message_from_json(json.dumps({**fields, "something": ["new"]}))
    assert newer == hello
    del fields["stream"]
    older = message_from_json(json.dumps(fields))
    assert isinstance(older, Hello)
    assert older.stream == ""


@pytest.mark.parametrize("traced", [False, True])
def test_a_result_says_that_it_was_traced_only_when_it_was(traced: bool) -> None:
    text = message_to_json(replace(result(Detections.empty()), traced=traced), LABELS)
    assert ("traced" in json.loads(text)) is traced
    found = message_from_json(text)
    assert isinstance(found, Result)
    assert found.traced is traced


@pytest.mark.parametrize(
    ("seq", "last"), [(0, "00000000"), (420, "000001a4"), (2**32 - 1, "ffffffff"), (2**32, "0" * 8)]
)
def test_a_frames_id_is_a_trace_id_of_stream_and_number(seq: int, last: str) -> None:
    found = frame_id("3fa9c2" * 4, seq)
    assert found == "3fa9c23fa9c23fa9c23fa9c2" + last
    assert 0 < int(found, 16) < 2**128


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("tracked", [False, True])
def test_a_result_is_read_back_to_a_hundredth_of_a_pixel(count: int, tracked: bool) -> None:
    rng = np.random.default_rng(count)
    detections = Detections(
        rng.uniform(0, 640, (count, 4)).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.integers(0, 3, count).astype(np.int32),
        np.arange(count, dtype=np.int32) if tracked else None,
    )
    found = message_from_json(message_to_json(result(detections), LABELS))
    assert isinstance(found, Result)
    assert (found.seq, found.captured_us, found.size_wh) == (7, 2**53, (640, 480))
    assert (found.timings, found.model, found.batch_size) == (
        Timings(1, 2, 3, 4, 5, 15),
        MODEL,
        2,
    )
    np.testing.assert_allclose(found.detections.xyxy, detections.xyxy, atol=0.0051)
    np.testing.assert_allclose(found.detections.score, detections.score, atol=0.00006)
    np.testing.assert_array_equal(found.detections.class_id, detections.class_id)
    assert (found.detections.track_id is not None) == (tracked and count > 0)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"type": "x"}',
        '{"type": "hello"}',
        '{"type": "result", "seq": 1}',
        '{"type": "dropped", "seq": "one", "reason": "late"}',
        '{"type": "error"}',
    ],
)
def test_a_servers_message_that_is_none_is_a_wire_error(text: str) -> None:
    with pytest.raises(WireError):
        message_from_json(text)


kinds = st.sampled_from(["hello", "settings", "result", "dropped", "error", "other"])
keys = st.sampled_from(["seq", "reason", "code", "message", "model", "settings", "detections",
                        "image", "timings_ms", "captured_us", "batch_size", "labels", "models",
                        "input_size_wh"])  # fmt: skip


@given(kinds, st.dictionaries(keys, json_value, max_size=8))
def test_any_message_of_a_server_is_read_or_a_wire_error(kind: str, fields: Any) -> None:
    try:
        message_from_json(json.dumps({**fields, "type": kind}))
    except WireError:
        return
