"""Read and write video files with PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np
from av.video.stream import VideoStream

from sightline_engines.errors import ClipError
from sightline_engines.turn import turn
from sightline_engines.types import Image

# A playlist or script that calls itself a clip could make ffmpeg open other files and
# addresses: only plain containers are opened, and nothing but the file itself.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mjpeg,m4v,gif",
}
_MAX_PIXELS = 50_000_000  # a frame, as for pictures
_END_PICTURES, _END_SHARE = 3, 0.02  # how much a whole clip may lack by its own count
_ENCODERS = ("libx264", "libopenh264")


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """A clip as it is shown, upright."""

    width: int
    height: int
    fps: float
    frames: int | None  # None: the file doesn't say
    duration_s: float | None


def probe_clip(path: Path) -> ClipInfo:
    """Return a clip's size, rate and length; raises ClipError."""
    with _open(path) as container:
        stream = _video(container, path)
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        duration = None
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        elif container.duration:
            duration = container.duration / av.time_base
        frames = stream.frames or (round(duration * fps) if duration else None)
    first = next(read_clip(path))  # only a decoded frame tells how the clip is turned
    return ClipInfo(first.shape[1], first.shape[0], fps, frames, duration)


def read_clip(path: Path) -> Iterator[Image]:
    """Yield a clip's pictures, upright.

    Raises ClipError where it can't be read on, which may be after its last whole picture.
    """
    count, end_s = 0, 0.0
    with _open(path) as container:
        stream = _video(container, path)
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                count += 1
                if frame.pts is not None and frame.time_base is not None:
                    shown = frame.pts - (stream.start_time or 0) + (frame.duration or 0)
                    end_s = max(end_s, float(shown * frame.time_base))
                # the display matrix counts degrees counterclockwise
                yield turn(cast(Image, frame.to_ndarray(format="bgr24")), -frame.rotation // 90)
        except av.error.FFmpegError as error:
            raise ClipError(f"{path.name} is damaged after {count} pictures: {error}.") from error
        if not count:
            raise ClipError(f"{path.name} holds no picture.")
        _require_end(container, stream, path, count, end_s)


class ClipWriter:
    """Writes pictures to an MP4 that browsers play: H.264, yuv420p, index in front.

    Used as a context manager; an odd side is made even by repeating its last line.
    """

    def __init__(self, path: Path, size_wh: tuple[int, int], fps: float) -> None:
        self._path = path
        self._size_wh = size_wh
        self._fps = fps

    def __enter__(self) -> Self:
        width, height = self._size_wh
        try:
            self._container = av.open(
                f"file:{self._path}", "w", format="mp4", options={"movflags": "faststart"}
            )
            rate = Fraction(self._fps).limit_denominator(1001)
            self._stream = cast(VideoStream, self._container.add_stream(_encoder(), rate=rate))
            self._stream.width = width + width % 2
            self._stream.height = height + height % 2
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"preset": "veryfast", "crf": "23"}
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError) as error:
            raise ClipError(f"{self._path} can't be written: {error}.") from error
        return self

    def write(self, image: Image) -> None:
        """Append one picture of the clip's size."""
        width, height = self._size_wh
        if image.shape[:2] != (height, width):
            raise ClipError(
                f"The clip has {width}x{height} pictures, got {image.shape[1]}x{image.shape[0]}."
            )
        bgr = np.ascontiguousarray(image)
        if width % 2 or height % 2:
            bgr = np.pad(bgr, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._encode(av.VideoFrame.from_ndarray(bgr, format="bgr24"))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._encode(None)
        finally:
            self._container.close()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """Write a frame; None ends the clip."""
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise ClipError(f"{self._path} can't be written on: {error}.") from error


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(f"file:{path}", metadata_errors="replace", options=_OPTIONS)
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(
            f"{path.name} can't be read as a clip: {error}. Accepted are MP4, MOV, MKV, WebM and "
            "AVI files."
        ) from error


def _video(container: av.container.InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise ClipError(f"{path.name} holds no video.")
    stream = container.streams.video[0]
    codec = stream.codec_context
    if codec.width * codec.height > _MAX_PIXELS:
        raise ClipError(
            f"{path.name} has pictures of {codec.width}x{codec.height}; at most "
            f"{_MAX_PIXELS / 1e6:g} megapixels are read. Save it smaller."
        )
    # The decoder itself must refuse: a picture may be larger than the file's header says.
    codec.options = {"max_pixels": str(_MAX_PIXELS)}
    return stream


def _require_end(
    container: av.container.InputContainer,
    stream: VideoStream,
    path: Path,
    count: int,
    end_s: float,
) -> None:
    """Refuse a clip that is cut off: its decoder just stops, as at the end."""
    length_s = _length_s(container, stream)
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    if length_s is None or 0 < stream.frames <= count:
        return
    if length_s - max(end_s, count / rate) > max(_END_PICTURES / rate, _END_SHARE * length_s):
        frames = stream.frames or round(length_s * rate)
        raise ClipError(
            f"{path.name} is cut off: it ends after {count} of {frames} pictures. Copy it anew."
        )


def _length_s(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Return how long the file says its pictures go on; None where it doesn't.

    ffmpeg estimates a duration by what is there where none is written, as for an AVI.
    """
    formats = container.format.name.split(",")
    if "avi" in formats:
        rate = stream.average_rate
        return float(stream.frames / rate) if stream.frames and rate else None
    if "mp4" in formats and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # Matroska's length is that of the longest stream, which may be the sound
    if "matroska" in formats and container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _encoder() -> str:
    for name in _ENCODERS:
        if name in av.codecs_available:
            return name
    raise ClipError(f"This PyAV has no H.264 encoder ({' or '.join(_ENCODERS)}); reinstall `av`.")
