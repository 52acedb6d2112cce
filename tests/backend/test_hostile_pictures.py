"""Every file of the hostile collection, posted to a real server."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.backend.running import Backend, running
from tests.fakes import encoded, grey

REFUSALS = {
    413: {"too_large"},
    415: {"unsupported_format"},
    422: {"bad_picture", "corrupt_picture"},
}


async def post_all(backend: Backend, files: list[Path]) -> dict[str, int]:
    """Post each file and return the status by path; checks each error's shape."""
    statuses = {}
    for file in files:
        response = await backend.detect(file.read_bytes())
        statuses[str(file)] = response.status_code
        body = response.json()
        if response.status_code == 200:
            assert body["image"]["width"] > 0, file
        else:
            assert set(body) == {"error"}, file
            assert body["error"]["code"] in REFUSALS[response.status_code], (file, body)
            assert body["error"]["message"], file
    return statuses


async def test_every_file_is_answered_or_cleanly_refused_and_memory_stays_flat(
    shared_data: Path,
) -> None:
    files = sorted(path for path in (shared_data / "images").rglob("*") if path.is_file())
    process = psutil.Process()
    async with running() as backend:
        first = await post_all(backend, files)
        before = process.memory_info().rss
        second = await post_all(backend, files)
        grown = process.memory_info().rss - before
        assert (await backend.detect(encoded(grey(200)))).status_code == 200
    assert first == second
    assert 200 in first.values()
    assert {413, 415, 422} <= set(first.values())
    assert grown < 40 * 2**20, f"{len(files)} files left {grown / 2**20:.0f} MiB behind"


async def test_the_same_files_as_live_frames_end_no_stream(shared_data: Path) -> None:
    files = sorted(path for path in (shared_data / "images").rglob("*") if path.is_file())
    async with running() as backend, backend.camera() as camera:
        for seq, file in enumerate(files):
            picture = file.read_bytes() or b"\0"
            if len(picture) > 4 * camera.hello.max_frame_bytes:
                continue
            await camera.send(seq, picture)
            assert getattr(await camera.recv(), "seq", None) == seq, file
