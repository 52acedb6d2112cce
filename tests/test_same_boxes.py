"""The command line and the live stream find the same boxes in the same clip."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

from typer.testing import CliRunner

from sightline_backend.app import create_app
from sightline_backend.cli.main import app as command
from sightline_backend.settings import Settings
from sightline_engines.clip import ClipWriter, probe_clip, read_clip
from sightline_engines.types import Image
from tests.backend.camera import connected
from tests.backend.running import serving
from tests.fakes import encoded

FRAMES = 12


async def test_a_clip_gives_the_same_boxes_by_command_and_by_stream(
    shared_data: Path, tmp_path: Path
) -> None:
    model = shared_data / "weights" / "yolox_nano.onnx"
    clip = tmp_path / "walking.mp4"
    frames = await asyncio.to_thread(cut, shared_data / "video" / "swdee_people-walking.mp4", clip)
    by_command = await asyncio.to_thread(detect_by_command, clip, model)

    settings = Settings(
        port=0,
        model=str(model),
        models_dir=tmp_path,
        engine="openvino",  # the faster of two may be another the second time
        deadline_ms=60_000,
        max_frame_bytes=4 * 2**20,  # a PNG is no live frame, but leaves the picture as it is
    )
    async with (
        serving(create_app(settings), settings) as (_, port),
        connected(f"ws://127.0.0.1:{port}/ws/detect") as camera,
    ):
        pictures = [encoded(frame, ".png") for frame in frames]
        answers = [await camera.detect(seq, picture) for seq, picture in enumerate(pictures)]
        labels = camera.hello.labels

    by_stream = [answer.detections.to_dicts(labels) for answer in answers]
    assert sum(map(len, by_stream)) >= FRAMES
    assert by_stream == by_command


def cut(source: Path, clip: Path) -> list[Image]:
    """Write the first frames of a clip to another and return them as they read back."""
    info = probe_clip(source)
    with ClipWriter(clip, (info.width, info.height), info.fps) as writer:
        for image in itertools.islice(read_clip(source), FRAMES):
            writer.write(image)
    return list(read_clip(clip))


def detect_by_command(clip: Path, model: Path) -> list[object]:
    """Run `sightline detect` and return each frame's detections."""
    done = CliRunner().invoke(
        command, ["detect", str(clip), "--model", str(model), "--engine", "openvino"]
    )
    assert done.exit_code == 0, done.output
    return [row["detections"] for row in json.loads(done.stdout)]
