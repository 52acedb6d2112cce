# mypy: disable-error-code="misc, type-arg, no-untyped-call"
"""The object-detection sample of streamlit-webrtc, in process: there is no server to post to.

Every stream is one visitor: a track of frames that are due when the load generator's would
be, streamlit-webrtc's own processing track with a callback as in the sample, and a reader
that takes the frames out as aiortc's sender would. WebRTC itself (jitter buffer, VP8) and
the drawing of boxes are left out, which is in the sample's favour; the JPEG is decoded, as by
the other peers. A frame that the track passes over for a newer one is counted as lost.
default: as in the sample, one model for each visitor.
https://github.com/whitphx/streamlit-webrtc/blob/main/pages/1_object_detection.py
best: one model for all, as Streamlit advises (`st.cache_resource`).
https://docs.streamlit.io/develop/concepts/architecture/caching
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from streamlit_webrtc.models import CallbackAttachableProcessor
from streamlit_webrtc.process import AsyncVideoProcessTrack

from benchmarks.load.account import Account
from benchmarks.load.schedule import due_times, first_number, phases
from benchmarks.load.spec import parse_streams
from benchmarks.peers.options import Options, read_options
from benchmarks.peers.yolo import Detector, decode


@dataclass(frozen=True, slots=True)
class Load:
    """What the benchmark asks for, beside the options."""

    rates: tuple[float, ...]
    seconds: float
    warm_s: float
    jpegs: tuple[bytes, ...]
    out: Path


def read_load() -> Load:
    """Read PEER_STREAMS, PEER_SECONDS, PEER_WARM_S, PEER_FRAMES (a folder) and PEER_OUT."""
    told = os.environ  # noqa: TID251  told as `options` are
    files = sorted(Path(told["PEER_FRAMES"]).glob("*.jpg"))
    return Load(
        parse_streams(told["PEER_STREAMS"]),
        float(told["PEER_SECONDS"]),
        float(told["PEER_WARM_S"]),
        tuple(file.read_bytes() for file in files),
        Path(told["PEER_OUT"]),
    )


class Camera(MediaStreamTrack):
    """Gives each frame when it is due, or at once when that has passed."""

    kind = "video"

    def __init__(self, index: int, first_s: float, start_s: float, load: Load, book: Account):
        super().__init__()
        self._index = index
        self._load = load
        self._book = book
        self._start_s = start_s
        self._dues = enumerate(due_times(load.rates[index], first_s, load.warm_s + load.seconds))

    async def recv(self) -> av.VideoFrame:
        """Return the next frame; its `pts` is its sequence number."""
        number, after_s = next(self._dues, (None, 0.0))
        if number is None:
            raise MediaStreamError
        due_s = self._start_s + after_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        seq = first_number(self._index) + number
        self._book.offer(seq, due_s)
        jpeg = self._load.jpegs[(number + 7 * self._index) % len(self._load.jpegs)]
        picture = await asyncio.to_thread(decode, jpeg)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts, frame.time_base = seq, Fraction(1, 90_000)
        return frame


def callback(
    detector: Detector, ended: Callable[[int, float], None]
) -> Callable[[av.VideoFrame], av.VideoFrame]:
    """Return the sample's callback; `ended` is told a frame's number and the time."""

    def detect(frame: av.VideoFrame) -> av.VideoFrame:
        picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        detector.detect([picture])
        ended(frame.pts or 0, time.monotonic())
        return av.VideoFrame.from_ndarray(picture, format="bgr24")

    return detect


async def watch(track: AsyncVideoProcessTrack) -> None:
    """Take a track's frames out until it ends."""
    try:
        while True:
            await track.recv()
    except MediaStreamError:
        return


async def run(options: Options, load: Load) -> None:
    """Let all streams run and write the same report as the load generator."""
    loop = asyncio.get_running_loop()
    book = Account(load.rates, options.deadline_ms / 1e3)
    shared = Detector(options.model)
    tracks: list[AsyncVideoProcessTrack] = []
    firsts = phases(load.rates, seed=1)
    own = options.setting == "default"
    detectors = [Detector(options.model) if own else shared for _ in load.rates]
    start_s, before_s = time.monotonic() + 0.5, time.process_time()
    book.from_s = start_s + load.warm_s

    def ended(stream: int) -> Callable[[int, float], None]:
        def tell(seq: int, at_s: float) -> None:  # from the track's thread
            loop.call_soon_threadsafe(book.answer, stream, seq, at_s)

        return tell

    for index, detector in enumerate(detectors):
        camera = Camera(index, firsts[index], start_s, load, book)
        processor = CallbackAttachableProcessor(callback(detector, ended(index)), None, None)
        tracks.append(AsyncVideoProcessTrack(camera, processor, stop_timeout=5.0))
    await asyncio.gather(*(watch(track) for track in tracks))
    await asyncio.sleep(max(1.0, 3 * options.deadline_ms / 1e3))  # the last frames' ends
    report = book.close(book.from_s, load.seconds, time.process_time() - before_s)
    load.out.write_text(report.to_json())


def main() -> None:
    """Run the load that the benchmark asks for."""
    asyncio.run(run(read_options(), read_load()))
    os._exit(0)  # a track's thread may be inside a model's run, which a normal exit aborts


if __name__ == "__main__":
    main()
