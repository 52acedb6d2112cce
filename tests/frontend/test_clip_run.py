"""A clip through the real server and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline_engines import wire
from sightline_engines.clip import ClipWriter, probe_clip, read_clip
from sightline_engines.errors import ClipError
from sightline_engines.types import Image
from sightline_frontend import clip_run
from sightline_frontend.backend import Backend, BackendError
from sightline_frontend.clip_run import ClipJob, run_clip
from tests.browser.camera_clip import SIZE_WH, rendered_frames
from tests.browser.scene import drawn_box

COUNT = 12


@pytest.fixture
def job(tmp_path: Path) -> ClipJob:
    source = tmp_path / "in.mp4"
    with ClipWriter(source, SIZE_WH, 10) as writer:
        for image in rendered_frames()[:COUNT]:
            writer.write(image)
    return ClipJob("walk.mp4", source, tmp_path / "out.mp4", wire.Settings(), ("person",))


def test_every_picture_is_detected_drawn_and_kept_in_order(job: ClipJob, backend: Backend) -> None:
    seen: list[tuple[int, int | None]] = []
    run = run_clip(job, backend, lambda done, total: seen.append((done, total)))
    findings = run.findings
    assert run.broken is None
    assert seen == [(number, COUNT) for number in range(1, COUNT + 1)]
    assert [f.time_s for f in findings] == pytest.approx([n / 10 for n in range(COUNT)])
    lefts = [float(f.detections.xyxy[0, 0]) for f in findings]
    assert lefts == sorted(lefts), "the rectangle wanders to the right"
    info = probe_clip(job.target)
    assert (info.width, info.height, info.fps, info.frames) == (*SIZE_WH, 10, COUNT)
    assert all(drawn_box(image) is not None for image in read_clip(job.target))


def test_what_a_cut_clip_gives_before_it_breaks_off_is_kept(
    job: ClipJob, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(path: Path) -> Iterator[Image]:
        yield from itertools.islice(read_clip(path), 5)
        raise ClipError("It is cut off after 5 pictures.")

    monkeypatch.setattr(clip_run, "read_clip", cut_off)
    run = run_clip(job, backend, lambda done, total: None)
    assert run.broken == "It is cut off after 5 pictures."
    assert len(run.findings) == 5
    assert probe_clip(job.target).frames == 5


def test_a_file_that_is_no_clip_is_refused(job: ClipJob, backend: Backend) -> None:
    job.source.write_bytes(b"nothing")
    with pytest.raises(ClipError):
        run_clip(job, backend, lambda done, total: None)


def test_a_server_that_is_gone_ends_the_run_with_its_name(
    job: ClipJob, absent_backend: Backend
) -> None:
    with pytest.raises(BackendError, match=absent_backend.url):
        run_clip(job, absent_backend, lambda done, total: None)
