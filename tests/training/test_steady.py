"""Steadiness: who stands still is found in tracks, and flicker counts what goes wrong there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.clip import ClipWriter
from sightline_engines.postprocess import DetectOptions
from sightline_training.boxes import Array, iou
from sightline_training.measure.candidates import Candidate, Entry
from sightline_training.measure.clips import watch
from sightline_training.measure.onclips import STEADY, WALKING, OnClips, steady_table
from sightline_training.measure.steady import Steadiness, standing, steadiness, together
from sightline_training.measure.tracks import STILL, Track, link, still
from sightline_training.samples import Picture

FEW = settings(max_examples=30, deadline=None)  # a clip takes a while
FPS, HEIGHT = 10.0, 400
NOTHING = np.zeros((0, 6), np.float32)
PERSON = (100.0, 100.0, 150.0, 250.0)


def rows(*boxes: tuple[float, ...], score: float = 0.9) -> Array:
    """Make persons of boxes."""
    return np.asarray([[*box, 0, score] for box in boxes], np.float32).reshape(-1, 6)


def moved(box: tuple[float, ...], dx: float, dy: float = 0) -> tuple[float, ...]:
    return (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy)


def walk(*steps: float) -> list[Array]:
    """Let one person go along by steps."""
    places = np.cumsum(steps).tolist()
    return [rows(moved(PERSON, place)) for place in places]


@pytest.mark.parametrize(
    ("found", "lengths"),
    [
        ([], []),
        ([NOTHING] * 5, []),
        (walk(*[0] * 30), [30]),
        (walk(*[5] * 30), [30]),
        (walk(0, 0, 300, 0), [2, 2]),
        ([rows(PERSON), *[NOTHING] * 5, rows(PERSON)], [2]),
        ([rows(PERSON), *[NOTHING] * 6, rows(PERSON)], [1, 1]),
        ([rows(PERSON, moved(PERSON, 100))] * 4, [4, 4]),
    ],
)
def test_boxes_that_overlap_from_frame_to_frame_are_one_track(
    found: list[Array], lengths: list[int]
) -> None:
    assert [len(track.frames) for track in link(found, FPS)] == lengths


@st.composite
def clips(draw: st.DrawFn) -> list[Array]:
    """Draw frames of a few persons who stand, shake, walk and vanish."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shake = draw(st.sampled_from([0.0, 2.0, 8.0]))
    found = []
    places = rng.uniform(0, 300, (draw(st.integers(0, 3)), 2))
    for _ in range(draw(st.integers(0, 50))):
        places += np.where(rng.random(places.shape) < 0.1, 15, 0)
        there = [p for p in places if rng.random() < 0.9]
        found.append(rows(*(moved(PERSON, *(p + rng.normal(0, shake, 2))) for p in there)))
    return found


@FEW
@given(clips())
def test_every_box_is_in_exactly_one_track(found: list[Array]) -> None:
    tracks = link(found, FPS)
    linked = [(f, *b.tolist()) for t in tracks for f, b in zip(t.frames, t.boxes, strict=True)]
    given_boxes = [(f, *row[:4].tolist()) for f, part in enumerate(found) for row in part]
    assert sorted(linked) == sorted(given_boxes)
    for track in tracks:
        assert all(a < b <= a + 6 for a, b in zip(track.frames, track.frames[1:], strict=False))


@FEW
@given(clips())
def test_an_interval_is_long_and_its_boxes_keep_their_place(found: list[Array]) -> None:
    for track in link(found, FPS):
        end = -1
        for interval in still(track, FPS):
            assert interval.first > end
            assert len(interval.frames) >= 20
            end = interval.last
            inside = [
                box
                for frame, box in zip(track.frames, track.boxes, strict=True)
                if frame in interval.frames
            ]
            assert iou(interval.box[None], np.asarray(inside)).min() >= STILL


@pytest.mark.parametrize(
    ("found", "spans"),
    [
        ([], []),
        (walk(*[0] * 19), []),
        (walk(*[0] * 20), [(0, 19)]),
        (walk(*[9] * 40), []),
        (walk(*[9] * 10, *[0] * 30), [(9, 39)]),
        (walk(*[0] * 25, 20, *[0] * 25), [(0, 24), (25, 50)]),
        ([*walk(*[0] * 15), *[NOTHING] * 4, *walk(*[0] * 15)], [(0, 33)]),
        ([rows(PERSON, score=0.1)] * 30, []),
        ([rows((100, 100, 115, 139))] * 30, []),
    ],
)
def test_who_keeps_a_place_for_two_seconds_stands_still(
    found: list[Array], spans: list[tuple[int, int]]
) -> None:
    got = [(i.first, i.last) for i in standing(found, FPS, HEIGHT)]
    # a slow start is part of standing while the overlap with the median lasts
    assert [last for _, last in got] == [last for _, last in spans]
    assert all(abs(a[0] - b[0]) <= 2 for a, b in zip(got, spans, strict=True))


def test_no_track_stands_nowhere() -> None:
    assert still(Track(), FPS) == []


SPLIT = ((100.0, 100.0, 150.0, 180.0), (100.0, 170.0, 150.0, 250.0))


@pytest.mark.parametrize(
    ("frame", "missing", "doubled"),
    [
        (NOTHING, 1, 0),
        (rows(PERSON), 0, 0),
        (rows(moved(PERSON, 3), moved(PERSON, 100)), 0, 0),
        (rows(moved(PERSON, 30)), 1, 0),
        (rows(*SPLIT), 0, 1),
        (rows((100, 100, 125, 250)), 0, 0),
    ],
)
def test_a_frame_flickers_without_a_box_or_with_two(
    frame: Array, missing: int, doubled: int
) -> None:
    found = [rows(PERSON)] * 24 + [frame]
    intervals = standing([rows(PERSON)] * 25, FPS, HEIGHT)
    got = steadiness(intervals, found, FPS)
    assert (got.persons, got.seconds, got.frames) == (1, 2.5, 25)
    assert (got.missing, got.doubled) == (missing, doubled)
    assert got.flicker == pytest.approx(4 * (missing + doubled))


def test_nobody_standing_has_no_flicker() -> None:
    got = steadiness([], [NOTHING] * 5, FPS)
    assert (got.flicker, got.frames) == (None, 0)
    assert np.isnan([got.jitter, got.jumps]).all()
    assert together([]) == got


def test_jitter_is_the_usual_move_and_jumps_are_the_large_ones() -> None:
    steps = [0, 1.5, -1.5] * 9 + [15]  # of a box 150 tall: 1 %, and 10 %
    found = walk(*steps)
    got = steadiness(standing([rows(PERSON)] * 28, FPS, HEIGHT), found, FPS)
    assert got.jitter == pytest.approx(1, abs=0.01)
    assert got.jumps == pytest.approx(100 / 27)


@FEW
@given(clips(), clips())
def test_the_sum_over_clips_is_a_sum(first: list[Array], second: list[Array]) -> None:
    parts = [steadiness(standing(f, FPS, HEIGHT), f, FPS) for f in (first, second)]
    whole = together(parts)
    assert whole.frames == sum(part.frames for part in parts)
    assert whole.flicker is None or 0 <= whole.flicker <= 100
    assert len(whole.moves) <= whole.frames


def test_a_clip_is_watched_at_ten_frames_a_second(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with ClipWriter(path, (96, 64), 30) as writer:
        for level in range(30):
            writer.write(np.full((64, 96, 3), 4 * level + 60, np.uint8))

    def bright(bgr: Picture) -> Array:
        return np.asarray([[-5, 0, 200, 40, 0, bgr.mean() / 255], [0, 0, 9, 9, 0, 0.01]])

    candidate = Candidate("it", path, (0,), lambda _: bright)
    entry = Entry(candidate, DetectOptions(0.5, 0.5), "", bright)
    got = watch(path, [entry])
    assert (got.name, got.fps, got.height, got.frames) == ("clip.mp4", 10, 64, 10)
    (found,) = got.found
    assert [len(part) for part in found] == [1] * 10
    assert found[0][0, :4].tolist() == [0, 0, 96, 40]
    assert (np.diff([part[0, 5] for part in found]) > 0).all()


def flickering(missing: int) -> Steadiness:
    return Steadiness(1, 10.0, 100, missing, 0, ())


def test_flicker_is_judged_on_each_clip_and_not_on_walkers() -> None:
    clips = {STEADY[0]: flickering(0), STEADY[1]: flickering(5), WALKING: flickering(90)}
    got = OnClips("nano", steady={"nano": clips, "ours": clips})
    assert [(v.got, v.met) for v in got.verdicts("ours")] == [(2.5, True), (0, True), (5, False)]
    text = steady_table(got)
    assert text.count("| nano (reference) | ") == text.count("| ours | ") == 4
    assert "not in the sum" in text
