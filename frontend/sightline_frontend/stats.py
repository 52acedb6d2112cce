"""Rolling figures of one live stream; the same ones as live_component/stats.js."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from sightline_engines.types import ServedModel, Timings

SPAN_S = 5.0
STAGES = ("encode", "network", "decode", "queue", "preprocess", "infer", "postprocess")


@dataclass(frozen=True, slots=True)
class FrameName:
    """By what the server's log and traces know a frame."""

    stream: str  # empty from a server that names none
    seq: int
    traced: bool


class Window:
    """Samples of the last few seconds."""

    def __init__(self, span_s: float = SPAN_S) -> None:
        self._span_s = span_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now_s: float, value: float = 0.0) -> None:
        """Take a sample."""
        self._samples.append((now_s, value))
        self._forget(now_s)

    def rate(self, now_s: float) -> float:
        """Return samples a second, measured from the first of them to now."""
        self._forget(now_s)
        if len(self._samples) < 2 or now_s <= self._samples[0][0]:
            return 0.0
        return (len(self._samples) - 1) / (now_s - self._samples[0][0])

    def quantile(self, share: float) -> float | None:
        """Return the value below which `share` (0..1) of the samples lie."""
        values = sorted(value for _, value in self._samples)
        return values[min(len(values) - 1, int(share * len(values)))] if values else None

    def mean(self) -> float | None:
        """Return the samples' mean, None without any."""
        if not self._samples:
            return None
        return sum(value for _, value in self._samples) / len(self._samples)

    def _forget(self, now_s: float) -> None:
        while self._samples and self._samples[0][0] < now_s - self._span_s:
            self._samples.popleft()


class LiveStats:
    """What the strip shows of a WebRTC stream; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pictures = Window()
        self._to_box = Window()
        self._named: deque[tuple[float, float, FrameName]] = deque()  # drawn when, its age, which
        self._stages = {name: Window() for name in STAGES}
        self._drops: Counter[str] = Counter()
        self._model: ServedModel | None = None

    def picture(self, now_s: float) -> None:
        """Count a picture that went back to the browser."""
        with self._lock:
            self._pictures.add(now_s)

    def drop(self, reason: str) -> None:
        """Count a frame that was not used."""
        with self._lock:
            self._drops[reason] += 1

    def serving(self, model: ServedModel) -> None:
        """Note what answers."""
        with self._lock:
            self._model = model

    def answered(
        self, now_s: float, encode_ms: float, round_trip_ms: float, timings: Timings
    ) -> None:
        """Note where a frame's time went; the round trip runs from send to answer."""
        times = asdict(timings) | {
            "encode": encode_ms,
            "network": max(0.0, round_trip_ms - timings.total),
        }
        with self._lock:
            for name, window in self._stages.items():
                window.add(now_s, times[name])

    def drawn(self, now_s: float, age_ms: float, frame: FrameName) -> None:
        """Count boxes that were drawn for the first time, `age_ms` after their frame came."""
        with self._lock:
            self._to_box.add(now_s, age_ms)
            self._named.append((now_s, age_ms, frame))
            self._forget(now_s)

    def snapshot(self, now_s: float) -> dict[str, Any]:
        """Return the figures as live_component/strip.js takes them."""
        with self._lock:
            return {
                "pictureFps": self._pictures.rate(now_s),
                "detectionFps": self._to_box.rate(now_s),
                "p50": self._to_box.quantile(0.5),
                "p95": self._to_box.quantile(0.95),
                "stages": [[name, w.mean() or 0.0] for name, w in self._stages.items()],
                "slowest": self._slowest(now_s),
                "drops": dict(self._drops),
                "model": None if self._model is None else asdict(self._model),
            }

    def _slowest(self, now_s: float) -> dict[str, Any] | None:
        self._forget(now_s)
        if not self._named:
            return None
        _, age_ms, frame = max(self._named, key=lambda drawn: drawn[1])
        return {"ageMs": age_ms, **asdict(frame)}

    def _forget(self, now_s: float) -> None:
        while self._named and self._named[0][0] < now_s - SPAN_S:
            self._named.popleft()
