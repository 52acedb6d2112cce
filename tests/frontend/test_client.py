"""The stream client against a real WebSocket server that misbehaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from sightline_engines import wire
from sightline_frontend import client as client_module
from sightline_frontend.client import LiveClient, backoff_s
from sightline_frontend.stats import FrameName, LiveStats
from tests.frontend.fake_backend import FakeBackend, free_port, running

PICTURE = np.full((96, 128, 3), 90, np.uint8)


@pytest.fixture
def fake() -> FakeBackend:
    return FakeBackend(f"ws://127.0.0.1:{free_port()}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "IDLE_S", 0.5)
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.02)


class Camera:
    """Offers a picture every few milliseconds, as a WebRTC callback would."""

    def __init__(self, url: str) -> None:
        self.stats = LiveStats()
        self.client = LiveClient(url, 80, self.stats)

    def until(self, condition: Callable[[], object], within_s: float = 20.0) -> None:
        """Film until the condition holds."""
        end_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end_s, f"it never came: {self.client.problem}"
            self.client.offer(PICTURE, time.monotonic())
            time.sleep(0.005)


@contextmanager
def filming(fake: FakeBackend) -> Iterator[Camera]:
    camera = Camera(f"{fake.url}/ws/detect")
    yield camera
    deadline_s = time.monotonic() + 10
    while any(t.name == "live" for t in threading.enumerate()):
        assert time.monotonic() < deadline_s, "the client's thread must end by itself"
        time.sleep(0.02)


def test_frames_go_out_as_small_jpegs_and_results_come_back(fake: FakeBackend) -> None:
    with filming(fake) as camera, running(fake):
        camera.until(lambda: camera.client.seen)
        seen = camera.client.seen
        assert seen is not None
        assert seen.result.detections.xyxy.tolist() == [[0, 0, 32, 48]]
        assert seen.result.captured_us == int(seen.came_s * 1e6)
        assert seen.frame == FrameName("3fa9c2" * 4, seen.result.seq, traced=False)
        jpeg = cv2.imdecode(np.frombuffer(fake.packets[0].payload, np.uint8), cv2.IMREAD_COLOR)
        assert jpeg is not None
        assert jpeg.shape == (48, 64, 3)
        assert camera.client.problem is None


def test_a_server_that_is_not_there_is_named_and_found_when_it_comes(fake: FakeBackend) -> None:
    with filming(fake) as camera:
        camera.until(lambda: camera.client.problem)
        assert fake.url in str(camera.client.problem)
        assert camera.stats.snapshot(time.monotonic())["drops"]["offline"] > 0
        with running(fake):
            camera.until(lambda: camera.client.seen)


def test_a_server_that_dies_and_returns_is_found_again(fake: FakeBackend) -> None:
    with filming(fake) as camera:
        with running(fake):
            camera.until(lambda: camera.client.seen)
        camera.until(lambda: camera.client.problem)
        assert camera.client.seen is None, "old boxes must not stay on the picture"
        with running(fake):
            camera.until(lambda: camera.client.seen)
    assert fake.lines >= 2


def test_a_line_cut_in_the_middle_comes_back(fake: FakeBackend) -> None:
    fake.close_after = 3
    with filming(fake) as camera, running(fake):
        camera.until(lambda: fake.lines >= 3)


@pytest.mark.parametrize(
    "greeting", ["", "{", "[]", '{"type": "hello"}', '{"type": "settings"}', "\x00" * 100]
)
def test_a_greeting_that_is_none_is_a_problem_and_not_a_crash(
    fake: FakeBackend, greeting: str
) -> None:
    fake.greeting = greeting
    with filming(fake) as camera, running(fake):
        camera.until(lambda: fake.lines >= 2)
        assert camera.client.problem


def test_a_refusal_says_what_the_server_said(fake: FakeBackend) -> None:
    fake.greeting = wire.message_to_json(wire.Failure("busy", "All 64 streams are taken."))
    with filming(fake) as camera, running(fake):
        camera.until(lambda: "All 64 streams are taken." in str(camera.client.problem))


def test_garbage_in_mid_stream_is_answered_by_a_new_line(fake: FakeBackend) -> None:
    fake.answer = lambda packet: "garbage"
    with filming(fake) as camera, running(fake):
        camera.until(lambda: fake.lines >= 2)
        fake.answer = None
        camera.until(lambda: camera.client.seen)


def test_a_slow_detector_never_holds_the_camera_up(fake: FakeBackend) -> None:
    fake.delay_s = 0.3
    with filming(fake) as camera, running(fake):
        camera.until(lambda: len(fake.packets) >= 4)
        drops = camera.stats.snapshot(time.monotonic())["drops"]
        assert drops["waiting"] > len(fake.packets), "frames it has no time for are left out"


def test_dropped_and_failed_frames_give_their_credit_back(fake: FakeBackend) -> None:
    def end(packet: wire.FramePacket) -> str:
        if packet.seq % 2:
            return wire.message_to_json(wire.Dropped(packet.seq, "late"))
        return wire.message_to_json(wire.Failure("corrupt_picture", "Damaged.", packet.seq))

    fake.answer = end
    with filming(fake) as camera, running(fake):
        camera.until(lambda: len(fake.packets) >= 12)
        drops = camera.stats.snapshot(time.monotonic())["drops"]
        assert drops["late"] >= 3
        assert drops["corrupt_picture"] >= 3


def test_a_detector_that_fails_on_every_frame_is_a_problem(fake: FakeBackend) -> None:
    fake.answer = lambda packet: wire.message_to_json(
        wire.Failure("engine_failed", "Out of memory.", packet.seq)
    )
    with filming(fake) as camera, running(fake):
        camera.until(lambda: "Out of memory." in str(camera.client.problem))
        fake.answer = None
        camera.until(lambda: camera.client.seen and camera.client.problem is None)


def test_settings_are_told_first_then_changed_on_the_same_line(fake: FakeBackend) -> None:
    with filming(fake) as camera, running(fake):
        camera.client.configure(wire.Settings(conf=0.3))
        camera.until(lambda: camera.client.seen)
        camera.client.configure(wire.Settings(conf=0.6, classes=("face",)))
        camera.until(lambda: len(fake.settings) >= 2)
        assert [s.conf for s in fake.settings] == [0.3, 0.6]
        assert fake.settings[1].classes == ("face",)
        assert fake.lines == 1


def test_the_line_closes_by_itself_when_no_frames_come(fake: FakeBackend) -> None:
    with filming(fake) as camera, running(fake):
        camera.until(lambda: camera.client.seen)
        deadline_s = time.monotonic() + 10
        while fake.open_lines:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        camera.until(lambda: fake.open_lines == 1)


@pytest.mark.parametrize(
    ("attempt", "wait_s"), [(0, 0.3), (1, 0.6), (2, 1.2), (4, 3.0), (10**6, 3.0)]
)
def test_waits_between_tries_grow_to_a_bound(
    monkeypatch: pytest.MonkeyPatch, attempt: int, wait_s: float
) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.3)
    assert backoff_s(attempt) == pytest.approx(wait_s)
