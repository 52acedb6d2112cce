"""A build's progress, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.convert.build_phases import BuildPhases
from sightline_engines.convert.timing_cache import write_whole


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["start", "step", "finish"]),
                  st.integers(0, 5)),
        max_size=40,
    )
)  # fmt: skip
def test_progress_never_falls_or_leaves_0_to_1_whatever_tensorrt_calls(
    calls: list[tuple[str, str, int]],
) -> None:
    shares: list[float] = []
    phases = BuildPhases(lambda share, doing: shares.append(share))
    for name, what, number in calls:
        if what == "start":
            phases.start(name, chr(ord(name) - 1) if name != "a" else None, number)
        elif what == "step":
            assert phases.step(name, number)
        else:
            phases.finish(name)
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_an_inner_phase_moves_its_outer_step(tmp_path: Path) -> None:
    shares: list[float] = []
    phases = BuildPhases(lambda share, doing: shares.append(share))
    phases.start("outer", None, 2)
    phases.start("inner", "outer", 4)
    phases.step("inner", 1)
    phases.finish("inner")
    phases.step("outer", 0)
    assert shares == [0, 0, 0.25, 0.5]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "m.plan"
    with pytest.raises(TypeError):
        write_whole(target, "not bytes")
    assert list(tmp_path.iterdir()) == []
    write_whole(target, b"whole")
    assert target.read_bytes() == b"whole"
