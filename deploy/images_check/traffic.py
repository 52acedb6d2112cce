"""A picture over HTTP, a live stream over WebSocket, and the pages, through published ports."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator

import httpx
from websockets import Origin, Subprotocol
from websockets.asyncio.client import connect

from deploy.images_check.stack import ROOT, CheckFailed, Stack
from sightline_engines import wire
from sightline_engines.types import Result

PICTURE = ROOT / "docs" / "live.jpg"  # shows a person
_FRAMES = 60
_LEAST = 0.8  # of the frames: on a busy machine a newer one may replace one that waits
_WAIT_S = 30


def check_picture(stack: Stack) -> Iterator[str]:
    """Send a picture; the person in it must be found."""
    url = f"{stack.url('backend')}/detect"
    files = {"file": (PICTURE.name, PICTURE.read_bytes(), "image/jpeg")}
    answer = httpx.post(url, files=files, timeout=_WAIT_S, trust_env=False)
    if not answer.is_success:
        raise CheckFailed(f"{url} answered {answer.status_code}: {answer.text}")
    said = answer.json()
    names = [one["class_name"] for one in said["detections"]]
    if "person" not in names:
        raise CheckFailed(f"a picture of a person showed {names}")
    took = said["timings_ms"]["total"]
    yield f"picture over HTTP: {', '.join(names)} in {took:.0f} ms on {said['model']['engine']}"


def check_stream(stack: Stack) -> Iterator[str]:
    """Send frames as a page would, two under way: each must be answered, most with a result."""
    yield asyncio.run(_stream(stack))


def check_pages(stack: Stack) -> Iterator[str]:
    """Fetch the pages' health and the page itself."""
    with httpx.Client(base_url=stack.url("frontend"), trust_env=False) as client:
        for path in ("/_stcore/health", "/"):
            answer = client.get(path)
            if not answer.is_success:
                raise CheckFailed(f"the frontend answered {path} with {answer.status_code}")
    yield "frontend: healthy, sends its page"


def check_command_line(stack: Stack) -> Iterator[str]:
    """Run `sightline detect` inside, on each runtime."""
    script = "cat > /tmp/picture.jpg && sightline detect --engine {} /tmp/picture.jpg"
    for engine in ("openvino", "onnxruntime"):
        command = ("exec", "-T", "backend", "sh", "-ec", script.format(engine))
        said = json.loads(stack.compose(*command, given=PICTURE.read_bytes()))[0]
        if not said["detections"] or said["model"]["engine"] != engine:
            raise CheckFailed(f"sightline detect on {engine} said {said}")
        yield f"sightline detect in the container: {said['model']['precision']} on {engine}"


def check_logs(stack: Stack) -> Iterator[str]:
    """The server's log must be JSON, a line an event."""
    lines = stack.compose("logs", "--no-log-prefix", "backend").splitlines()
    for line in lines:
        try:
            json.loads(line)
        except ValueError as error:
            raise CheckFailed(f"a line of the server's log is no JSON: {line}") from error
    yield f"backend: {len(lines)} log lines, all JSON"


async def _stream(stack: Stack) -> str:
    url = f"ws://127.0.0.1:{stack.ports['backend']}/ws/detect"
    picture = PICTURE.read_bytes()
    took_ms: list[float] = []
    sent: dict[int, float] = {}
    page = Origin(stack.url("frontend"))
    spoken = [Subprotocol(wire.SUBPROTOCOL)]
    async with connect(url, subprotocols=spoken, origin=page, proxy=None) as socket:
        hello = wire.message_from_json(str(await socket.recv()))
        if not isinstance(hello, wire.Hello):
            raise CheckFailed(f"the stream began with {hello}")
        begun = time.monotonic()
        for seq in range(_FRAMES + hello.credits):
            if seq >= hello.credits:
                message = wire.message_from_json(str(await asyncio.wait_for(socket.recv(), 10)))
                if isinstance(message, Result) and len(message.detections):
                    took_ms.append((time.monotonic() - sent[message.seq]) * 1e3)
                elif not isinstance(message, wire.Dropped):
                    raise CheckFailed(f"a frame was answered with {message}")
            if seq < _FRAMES:
                sent[seq] = time.monotonic()
                await socket.send(wire.encode_frame(wire.FramePacket(seq, 0, 0, picture)))
        fps = len(took_ms) / (time.monotonic() - begun)
    if len(took_ms) < _FRAMES * _LEAST:
        raise CheckFailed(f"only {len(took_ms)} of {_FRAMES} frames had a result")
    median = statistics.median(took_ms)
    return f"live stream: {len(took_ms)} of {_FRAMES} frames, {fps:.0f} a second, {median:.0f} ms"
