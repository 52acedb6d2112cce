"""What a run of the load generator is to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["sightline", "http"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One run; `streams` are frames a second, one number a stream."""

    kind: Kind
    url: str
    streams: tuple[float, ...]
    seconds: float
    deadline_ms: float
    warm_s: float = 2.0  # sent before the counting begins
    clip: Path | None = None  # None: that of the test material, or rendered pictures
    size_wh: tuple[int, int] = (1280, 720)
    quality: int = 85
    frames: int = 60
    core: int | None = None  # of the generator; None: any
    seed: int = 1
    field: str = "file"  # of the multipart form, http only
    raw: bool = False  # the JPEG alone is the body, http only
    header: str = ""  # one more line of each request's head, http only
    timeline: bool = False  # report every answer's times

    def arguments(self) -> list[str]:
        """Return the command line that asks for this run."""
        size = f"{self.size_wh[0]}x{self.size_wh[1]}"
        words = ["--kind", self.kind, "--url", self.url, "--streams", streams_text(self.streams)]
        words += ["--seconds", repr(self.seconds), "--deadline-ms", repr(self.deadline_ms)]
        words += ["--warm", repr(self.warm_s), "--size", size, "--quality", str(self.quality)]
        words += ["--frames", str(self.frames), "--seed", str(self.seed), "--field", self.field]
        if self.clip is not None:
            words += ["--clip", str(self.clip)]
        if self.core is not None:
            words += ["--core", str(self.core)]
        words += ["--raw"] if self.raw else []
        words += ["--header", self.header] if self.header else []
        words += ["--timeline"] if self.timeline else []
        return words


def parse_streams(text: str) -> tuple[float, ...]:
    """Read `15,15,30` or `8x15,2x30`: frames a second of each stream."""
    rates: list[float] = []
    for part in text.split(","):
        count, cross, rate = part.strip().rpartition("x")
        try:
            rates += [float(rate)] * (int(count) if cross else 1)
        except ValueError:
            raise ValueError(f"Streams are written 15,15,30 or 8x15, got {part!r}.") from None
    if not rates or min(rates) <= 0:
        raise ValueError(f"Each stream needs a rate above 0, got {text!r}.")
    return tuple(rates)


def parse_size(text: str) -> tuple[int, int]:
    """Read `1280x720`."""
    width, _, height = text.partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise ValueError(f"A size is written 1280x720, got {text!r}.") from None


def streams_text(rates: Sequence[float]) -> str:
    """Return what `parse_streams` reads, equal neighbours taken together."""
    parts: list[str] = []
    start = 0
    for end in range(1, len(rates) + 1):
        if end == len(rates) or rates[end] != rates[start]:
            parts.append(f"{end - start}x{rates[start]!r}")
            start = end
    return ",".join(parts)
