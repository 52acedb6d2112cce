"""Triton's page of metrics, read in the little of Prometheus' text format that it uses."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sightline_engines.errors import EngineAwayError

MOST_BYTES = 8 * 2**20
_CHUNK = 64 * 2**10
_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?"
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line."""

    name: str
    labels: Mapping[str, str]
    value: float


def fetch_metrics(url: str, timeout_s: float) -> tuple[Sample, ...]:
    """Fetch and read the page; raises EngineAwayError where it can't be had in time."""
    until_s, text = time.monotonic() + timeout_s, bytearray()
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("its address begins with neither http:// nor https://")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=timeout_s) as page:
            while len(text) < MOST_BYTES and (chunk := page.read1(_CHUNK)):
                text += chunk
                if time.monotonic() > until_s:
                    raise TimeoutError("it takes too long")
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        raise EngineAwayError(
            f"Triton's metrics at {url} can't be read: {error}. Set SIGHTLINE_TRITON_METRICS_URL, "
            "or start Triton with its metrics."
        ) from error
    # A page that was cut off ends in half a line, whose number would be another.
    whole = text[: text.rfind(b"\n") + 1]
    return tuple(read_metrics(whole.decode(errors="replace")))


def read_metrics(text: str) -> Iterator[Sample]:
    """Yield the samples of a page; lines that can't be read are left out."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip())
        if found is None or line.startswith("#"):
            continue
        labels = {name: _unescaped(value) for name, value in _LABEL.findall(found["labels"] or "")}
        try:
            yield Sample(found["name"], labels, float(found["value"]))
        except ValueError:
            continue


def _unescaped(value: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), value)
