"""Memory shared with Triton: written, read, given back, and swept up after a crash."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sightline_engines.device import nvidia_gpus
from sightline_engines.errors import ProviderError
from sightline_engines.triton import slots as slots_of_triton
from sightline_engines.triton.client import Client, SharedInput, SharedOutput
from sightline_engines.triton.errors import LateError, TritonError
from sightline_engines.triton.port import Port
from sightline_engines.triton.shared_memory import FOLDER, CudaRegion, SystemRegion, sweep
from sightline_engines.triton.slots import Slots
from sightline_engines.types import Tensor

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="this system has no /dev/shm")

OWNER = (
    "from sightline_engines.triton.shared_memory import SystemRegion\n"
    "region = SystemRegion(4096)\nprint(region.name, flush=True)\ninput()\n"
)


def test_what_is_written_is_read_and_closing_leaves_nothing() -> None:
    region = SystemRegion(64)
    path = FOLDER / region.name
    try:
        given = np.arange(6, dtype=np.float32).reshape(2, 3)
        region.write(given)
        assert path.read_bytes()[: given.nbytes] == given.tobytes()
        assert path.stat().st_mode & 0o077 == 0
        read = region.read(0, np.dtype(np.float32), (2, 3))
        assert read.tolist() == given.tolist()
        region.write(np.zeros(6, np.float32))
        assert read.tolist() == given.tolist()  # a copy: the next answer doesn't change it
    finally:
        region.close()
    assert not path.exists()


@pytest.mark.parametrize("shape", [(17,), (-1,), (4, 5)])
def test_nothing_is_read_beyond_the_end(shape: tuple[int, ...]) -> None:
    region = SystemRegion(64)
    try:
        with pytest.raises(ValueError, match="doesn't lie in 64 bytes"):
            region.read(0, np.dtype(np.float32), shape)
    finally:
        region.close()


def test_more_than_there_is_room_for_is_refused_and_leaves_nothing() -> None:
    before = set(FOLDER.iterdir())
    with pytest.raises(ProviderError, match=r"--shm-size|SIGHTLINE_TRITON_TRANSPORT=tensors"):
        SystemRegion(1 << 50)
    mine = [one for one in set(FOLDER.iterdir()) - before if one.name.startswith("sightline-")]
    assert not mine


def test_a_killed_owners_region_is_swept_and_a_living_ones_is_not() -> None:
    owners = [
        subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        paths: list[Path] = []
        for owner in owners:
            assert owner.stdout is not None
            paths.append(FOLDER / owner.stdout.readline().strip())
        killed, living = owners
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert all(path.exists() for path in paths)
        sweep()
        assert not paths[0].exists()
        assert paths[1].exists()
        living.kill()
        living.wait()
        sweep()
        assert not paths[1].exists()
    finally:
        for owner in owners:
            owner.kill()
            owner.communicate()


class FakeServer(Client):
    """Knows regions, and may hold on to them for a moment, or hang."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.clings = 0  # how many of the next calls it refuses
        self.away = False

    @property
    def url(self) -> str:
        return "there:8001"

    def register_system(
        self, region: str, key: str, byte_size: int, timeout_s: float | None = None
    ) -> None:
        if self.away:
            raise LateError("It hangs.")
        self.known.add(region)

    def unregister(self, region: str, cuda: bool = False, timeout_s: float | None = None) -> None:
        if self.away:
            raise LateError("It hangs.")
        if self.clings:
            self.clings -= 1
            raise TritonError("It is in use.")
        self.known.discard(region)


def test_the_server_is_told_of_what_is_swept_up() -> None:
    server = FakeServer()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        server.known = {name, "somebody-elses"}
        owner.kill()
        owner.wait()
        server.clings = 1
        assert sweep(server) >= 1
        assert server.known == {"somebody-elses"}
    finally:
        owner.kill()
        owner.communicate()


PORT = Port("in", "UINT8", "out", "FP32", (10, 6), 8, False)


def plenty() -> float:
    return 10.0


def pictures(count: int) -> Tensor:
    return np.zeros((count, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("counts", "room"), [([1], 1), ([3], 4), ([1, 2], 2), ([5, 1], 8), ([8, 3], 8)]
)
def test_memory_is_had_for_what_is_sent_and_smaller_ones_are_given_back(
    counts: list[int], room: int
) -> None:
    server = FakeServer()
    slots = Slots(server, cuda=False)
    try:
        for count in counts:
            given, wanted = slots.put(0, pictures(count), PORT, plenty)
        assert isinstance(given, SharedInput)
        assert isinstance(wanted, SharedOutput)
        assert wanted.byte_size == room * 10 * 6 * 4
        until(lambda: len(server.known) == 2 and not slots.retired_bytes)
    finally:
        slots.close()
    assert not server.known


def test_what_a_failed_request_used_is_given_back_after_a_while_by_itself() -> None:
    server = FakeServer()
    slots = Slots(server, cuda=False, quiet_s=0.05)
    try:
        slots.put(0, pictures(1), PORT, plenty)
        slots.retire()
        assert slots.retired_bytes
        until(lambda: not server.known)
        assert not slots.retired_bytes
    finally:
        slots.close()


def test_too_much_that_lies_idle_has_batches_go_as_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots_of_triton, "MOST_RETIRED_BYTES", 1000)
    slots = Slots(FakeServer(), cuda=False)
    try:
        slots.put(0, pictures(4), PORT, plenty)
        slots.retire()
        array = pictures(1)
        assert slots.put(0, array, PORT, plenty) == (array, "out")
    finally:
        slots.close()


def test_a_server_that_hangs_holds_up_neither_a_batch_nor_the_end() -> None:
    server = FakeServer()
    slots = Slots(server, cuda=False)
    slots.put(0, pictures(1), PORT, plenty)
    server.away = True
    with pytest.raises(LateError):
        slots.put(0, pictures(2), PORT, plenty)
    slots.close()


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def test_cuda_without_a_gpu_says_what_works_instead() -> None:
    if nvidia_gpus():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ProviderError, match="SIGHTLINE_TRITON_TRANSPORT=tensors"):
        CudaRegion(64)


@pytest.mark.gpu
def test_what_is_written_to_the_gpu_is_read_again() -> None:
    if not nvidia_gpus():
        pytest.skip("no NVIDIA GPU")
    region = CudaRegion(64)
    given = np.arange(6, dtype=np.float32)
    try:
        region.write(given)
        assert region.read(0, np.dtype(np.float32), (6,)).tolist() == given.tolist()
    finally:
        region.close()
