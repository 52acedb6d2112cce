"""Clips: read upright, written so that browsers play them."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from sightline_engines.clip import ClipWriter, probe_clip, read_clip
from sightline_engines.detector import Detector
from sightline_engines.draw import draw_detections
from sightline_engines.errors import ClipError
from sightline_engines.picture import encode_jpeg
from sightline_engines.types import Image
from tests.engines.encoded import scene


def written(path: Path, size_wh: tuple[int, int], count: int = 12, fps: float = 25.0) -> Path:
    with ClipWriter(path, size_wh, fps) as writer:
        for _ in range(count):
            writer.write(scene(*size_wh))
    return path


def corners(image: Image) -> list[list[int]]:
    h, w = image.shape[0] // 4, image.shape[1] // 4
    return [image[y, x].tolist() for y in (h, -h) for x in (w, -w)]


@pytest.mark.parametrize("size", [(96, 64), (95, 63), (64, 97)])
def test_a_clip_written_is_read_back(tmp_path: Path, size: tuple[int, int]) -> None:
    path = written(tmp_path / "a.mp4", size)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    info = probe_clip(path)
    assert (info.width, info.height, info.frames) == (*even, 12)
    assert info.fps == pytest.approx(25)
    assert info.duration_s == pytest.approx(12 / 25, abs=0.02)
    images = list(read_clip(path))
    assert len(images) == 12
    for found, wanted in zip(corners(images[5]), corners(scene(*size)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=14)


def test_what_is_written_is_what_browsers_play(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", (96, 64), fps=29.97)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate or 0) == pytest.approx(29.97, abs=0.01)
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")  # the index in front: plays while it loads


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        ClipWriter(tmp_path / "a.mp4", (96, 64), 25) as writer,
        pytest.raises(ClipError, match="has 96x64 pictures, got 48x32"),
    ):
        writer.write(scene(48, 32))


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_a_clip_from_a_turned_phone_is_read_upright(
    tmp_path: Path, degrees: int, quarters: int
) -> None:
    path = written(tmp_path / "a.mp4", (96, 64))
    set_rotation(path, degrees)
    upright = np.rot90(scene(96, 64), -quarters)
    info = probe_clip(path)
    assert (info.height, info.width) == upright.shape[:2]
    image = next(read_clip(path))
    np.testing.assert_allclose(corners(image), corners(upright), atol=14)


def set_rotation(path: Path, degrees: int) -> None:
    """Write the display matrix into a clip's track header, as a phone does (clockwise)."""
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[
        degrees
    ]
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box
    values = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join((v & 0xFFFFFFFF).to_bytes(4, "big") for v in values)
    path.write_bytes(data)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a clip",
        PLAYLIST.format("file:///etc/hostname"),
        PLAYLIST.format("http://127.0.0.1:9/x.ts"),
        "ffconcat version 1.0\nfile other.mp4\n",
    ],
)
def test_what_is_no_clip_or_points_elsewhere_is_refused(tmp_path: Path, text: str) -> None:
    written(tmp_path / "other.mp4", (32, 32), 2)
    (tmp_path / "clip.mp4").write_text(text)
    with pytest.raises(ClipError, match=r"clip\.mp4 can't be read as a clip"):
        probe_clip(tmp_path / "clip.mp4")


def test_a_missing_clip_and_an_unwritable_place_are_clip_errors(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"none\.mp4"):
        next(read_clip(tmp_path / "none.mp4"))
    with (
        pytest.raises(ClipError, match="can't be written"),
        ClipWriter(tmp_path / "no" / "folder.mp4", (32, 32), 25),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("swdee_people-walking.mp4", 300_000, r"ends after \d\d of 314 pictures"),
        ("arjun_vtest.avi", 60_000, r"ends after \d of 795 pictures"),
    ],
)
def test_a_clip_cut_off_gives_what_it_has_and_then_says_so(
    shared_data: Path, tmp_path: Path, name: str, size: int, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes((shared_data / "video" / name).read_bytes()[:size])
    images = read_clip(path)
    assert next(images).shape == next(images).shape
    with pytest.raises(ClipError, match=said):
        deque(images, maxlen=0)


@pytest.mark.parametrize("name", ["swdee_cars.mp4", "arjun_vtest.avi"])
def test_a_whole_clip_is_read_to_its_end(shared_data: Path, name: str) -> None:
    path = shared_data / "video" / name
    assert sum(1 for _ in read_clip(path)) == probe_clip(path).frames


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.avi", "a.ts", "a.mjpeg", "a.gif"])
def test_a_whole_clip_of_any_container_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        codec = {"a.webm": "libvpx", "a.gif": "gif"}.get(name, "mjpeg")
        codec = "mpeg2video" if name == "a.ts" else codec
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = 96, 64
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(scene(96, 64), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert sum(1 for _ in read_clip(path)) == 30


def test_a_picture_larger_than_the_clip_says_never_gets_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_engines.clip._MAX_PIXELS", 2000)
    small, giant = encode_jpeg(scene(32, 32)), encode_jpeg(scene(64, 64))
    path = tmp_path / "a.mjpeg"
    path.write_bytes(small * 3 + giant + small)
    with pytest.raises(ClipError, match="damaged after"):  # by the decoder: nothing came out of it
        list(read_clip(path))


def test_a_clip_that_says_its_pictures_are_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.mp4", (96, 64))
    monkeypatch.setattr("sightline_engines.clip._MAX_PIXELS", 2000)
    with pytest.raises(ClipError, match="pictures of 96x64; at most"):
        probe_clip(path)


def test_a_real_clip_is_detected_in_drawn_on_and_written(
    shared_data: Path, weights: Path, tmp_path: Path
) -> None:
    source = shared_data / "video" / "swdee_people-walking.mp4"
    info = probe_clip(source)
    assert (info.width, info.height, round(info.fps)) == (1280, 720, 30)
    target = tmp_path / "drawn.mp4"
    people = 0
    with (
        Detector.load(weights / "yolox_nano.onnx", threads=2) as detector,
        ClipWriter(target, (info.width, info.height), info.fps) as writer,
    ):
        for index, image in enumerate(read_clip(source)):
            if index == 10:
                break
            found = detector(image, classes=["person"])
            people += len(found)
            writer.write(draw_detections(image, found, detector.labels))
    assert people >= 20
    assert probe_clip(target).frames == 10
    plain, drawn = next(read_clip(source)), next(read_clip(target))
    assert drawn.shape == plain.shape
    assert 0.1 < np.abs(drawn.astype(int) - plain).mean() < 20  # the same scene, with boxes
