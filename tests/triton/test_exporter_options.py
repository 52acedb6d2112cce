"""What an export may be asked for, and how the command line's words are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.exporter import BenchmarkConfig, ExportConfig, create_exporter
from sightline_engines.exporter.options import InputType
from sightline_engines.exporter.samples import other_sides, random_feed
from sightline_engines.exporter.words import (
    read_axes,
    read_gpus,
    read_inputs,
    read_numbers,
    read_ranges,
)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_name": ""}, "model_name"),
        ({"model_name": "../m"}, "model_name"),
        ({"precision": "fp8"}, "fp32, fp16 or int8"),
        ({"max_batch_size": -1}, "0 to 1024"),
        ({"opset_version": 9}, "13 to 20"),
        ({"workspace_size_gb": 0}, "workspace_size_gb"),
        ({"target_latency_ms": -5.0}, "target_latency_ms"),
        ({"input_shapes": {}}, "input_shapes is empty"),
        ({"input_shapes": {"a b": (1,)}}, "can't be named"),
        ({"input_shapes": {"x": (-1, 3)}}, "Leave the batch out"),
        ({"input_types": {"y": "int64"}}, "there is no input 'y'; there are input"),
        ({"dynamic_axes": {"input": {0: "n"}}}, "the batch is open by itself"),
        ({"dynamic_axes": {"input": {4: "n"}}}, "1 to 3"),
        ({"dynamic_axes": {"input": {1: "n", 2: "n"}}}, "different names"),
        ({"axis_ranges": {"n": (1, 2)}}, "in no dynamic_axes"),
        (
            {"dynamic_axes": {"input": {2: "n"}}, "axis_ranges": {"n": (1, 2)}},
            "must hold the shape's own 224",
        ),
    ],
)
def test_an_export_that_cannot_be_is_refused_with_what_would_fit(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ExportConfig(**({"model_name": "m"} | values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"triton_url": ""}, "host:port"),
        ({"triton_url": "http://triton:8000"}, "host:port"),
        ({"protocol": "ftp"}, "grpc or http"),
        ({"num_requests": 0}, "num_requests"),
        ({"num_warmup_requests": -1}, "num_warmup_requests"),
        ({"concurrency": 0}, "concurrency"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BenchmarkConfig(**values)


def test_the_words_of_all_three_configurations_make_an_exporter() -> None:
    made = create_exporter(
        None, "m", precision="fp16", instance_count=2, concurrency=4, gpus=(), num_requests=9
    )
    assert (made.export_config.precision, made.export_config.model_name) == ("fp16", "m")
    assert (made.triton_config.instance_count, made.triton_config.gpus) == (2, ())
    assert (made.benchmark_config.concurrency, made.benchmark_config.num_requests) == (4, 9)
    with pytest.raises(ValueError, match="no option instances"):
        create_exporter(None, "m", instances=2)


@pytest.mark.parametrize(
    ("texts", "shapes", "types"),
    [
        ([], {}, {}),
        (["x:3x224x224"], {"x": (3, 224, 224)}, {"x": "float32"}),
        (["ids:128:int64", "d:8"], {"ids": (128,), "d": (8,)}, {"ids": "int64", "d": "float32"}),
    ],
)
def test_inputs_are_read(
    texts: list[str], shapes: dict[str, tuple[int, ...]], types: dict[str, str]
) -> None:
    found = read_inputs(texts)
    assert (found.shapes, found.types) == (shapes, types)
    assert list(found.shapes) == list(shapes)  # forward()'s order


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *(
            (read_inputs, text)
            for text in ("", "x", "x:", ":3", "x:3x", "x:-1", "x:3:float", "x:a")
        ),
        *((read_axes, text) for text in ("", "x", "x:2", "x:h=2", "x:2=", "x:2=h,")),
        *((read_ranges, text) for text in ("", "h", "h:1", "h:1-2", "h:..2", "1..2")),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_how_to_write_it(
    read: Callable[[list[str]], object], text: str
) -> None:
    with pytest.raises(ValueError, match="write it as"):
        read([text])


def test_an_input_is_named_once() -> None:
    with pytest.raises(ValueError, match="names x twice"):
        read_inputs(["x:3", "x:4"])


def test_axes_ranges_and_numbers_are_read() -> None:
    assert read_axes([]) == {}
    assert read_axes(["x:2=h,3=w", "y:1=t"]) == {"x": {2: "h", 3: "w"}, "y": {1: "t"}}
    assert read_ranges(["h:32..640"]) == {"h": (32, 640)}
    assert read_numbers("--n", "") == ()
    assert read_numbers("--n", "1, 4,8") == (1, 4, 8)
    with pytest.raises(ValueError, match="--n 'a'"):
        read_numbers("--n", "a")


@pytest.mark.parametrize(
    ("text", "gpus"), [(None, None), ("cpu", ()), ("0", (0,)), ("0,2", (0, 2))]
)
def test_gpus_are_triton_s_choice_none_or_named(
    text: str | None, gpus: tuple[int, ...] | None
) -> None:
    assert read_gpus(text) == gpus


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 4),
    st.sampled_from(["float32", "float16", "int64", "uint8", "bool"]),
)
def test_random_inputs_are_of_the_asked_shape_and_kind(
    shape: list[int], batch: int, kind: InputType
) -> None:
    config = ExportConfig(
        "m", max_batch_size=batch, input_shapes={"x": tuple(shape)}, input_types={"x": kind}
    )
    (value,) = random_feed(config, max(batch, 1), {}).values()
    assert value.shape == ((batch, *shape) if batch else tuple(shape))
    assert value.dtype == np.dtype(kind)


@given(st.integers(1, 500), st.none() | st.tuples(st.integers(1, 500), st.integers(0, 500)))
def test_an_open_side_is_tried_at_another_size_within_its_range(
    side: int, given_range: tuple[int, int] | None
) -> None:
    ranges = {}
    if given_range is not None:
        least = min(given_range[0], side)
        ranges = {"h": (least, side + given_range[1])}
    config = ExportConfig(
        "m", input_shapes={"x": (side,)}, dynamic_axes={"x": {1: "h"}}, axis_ranges=ranges
    )
    ways = other_sides(config)
    assert ways
    for way in ways:
        least, most = ranges.get("h", (1, side * 2))
        assert least <= way["h"] <= most
        assert way["h"] != side or least == most
