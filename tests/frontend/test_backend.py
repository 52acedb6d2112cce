"""The pages' HTTP client against the real server, and against what is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import pytest

from sightline_engines import wire
from sightline_engines.picture import encode_jpeg
from sightline_frontend import backend as backend_module
from sightline_frontend.backend import Backend, BackendError, Health
from tests.browser.camera_clip import rendered_frames

PICTURE = encode_jpeg(rendered_frames()[40])


def test_the_server_says_what_serves(backend: Backend) -> None:
    health = backend.health()
    assert health == Health(True, "yellow", "numpy", "fp32", "CPU", None)
    (model,) = backend.models()
    assert (model.name, model.labels, model.licence) == ("yellow", ("person",), "Apache-2.0")
    assert 0 < model.conf < 1


def test_a_picture_comes_back_with_its_boxes(backend: Backend) -> None:
    result = backend.detect(PICTURE, wire.Settings())
    assert result.size_wh == (640, 360)
    x1, y1, x2, y2 = result.detections.xyxy[0].tolist()
    assert (x1, y1, x2, y2) == pytest.approx((160, 90, 270, 290), abs=6)
    assert result.model.name == "yellow"


def test_thresholds_and_classes_reach_the_detector(backend: Backend) -> None:
    assert len(backend.detect(PICTURE, wire.Settings(conf=0.95)).detections) == 0
    assert len(backend.detect(PICTURE, wire.Settings(classes=("person",))).detections) == 1
    with pytest.raises(BackendError, match="no class 'cat'"):
        backend.detect(PICTURE, wire.Settings(classes=("cat",)))


@pytest.mark.parametrize("data", [b"", b"no picture", PICTURE[:200]])
def test_what_is_no_picture_is_refused_with_a_sentence(backend: Backend, data: bytes) -> None:
    with pytest.raises(BackendError) as caught:
        backend.detect(data, wire.Settings())
    assert caught.value.message.endswith(".")


def test_a_server_that_is_not_there_is_named(absent_backend: Backend) -> None:
    assert absent_backend.health() is None
    assert absent_backend.models() == ()
    with pytest.raises(BackendError, match=absent_backend.url):
        absent_backend.detect(PICTURE, wire.Settings())


@contextmanager
def scripted(*answers: tuple[int, bytes], retry_after: str = "0") -> Iterator[Backend]:
    """Serve one answer after the other, the last one again and again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("retry-after", retry_after)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    backend = Backend(f"http://127.0.0.1:{server.server_port}", timeout_s=5)
    try:
        yield backend
    finally:
        backend.close()
        server.shutdown()
        thread.join()
        server.server_close()


BUSY = (503, b'{"error": {"code": "busy", "message": "All seats are taken."}}')
FOUND = (
    200,
    b'{"model": {"name": "m", "version": "1", "engine": "e", "precision": "p", "device": "d"},'
    b' "image": {"width": 4, "height": 3}, "detections": [], "timings_ms": {}}',
)


@pytest.mark.parametrize("retry_after", ["", "0", "nan", "Sat, 21 Nov 2026 06:00:00 GMT"])
def test_a_busy_server_is_asked_again(retry_after: str) -> None:
    with scripted(BUSY, BUSY, FOUND, retry_after=retry_after) as backend:
        assert backend.detect(PICTURE, wire.Settings()).size_wh == (4, 3)


def test_a_server_that_stays_busy_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "BUSY_TRIES", 2)
    with scripted(BUSY) as backend, pytest.raises(BackendError, match="All seats are taken"):
        backend.detect(PICTURE, wire.Settings())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 3}', b'{"a": 1}'])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_server_that_is_no_sightline_is_an_error_and_not_a_crash(
    status: int, body: bytes
) -> None:
    with scripted((status, body)) as backend:
        assert backend.health() is None
        assert backend.models() == ()
        with pytest.raises(BackendError):
            backend.detect(PICTURE, wire.Settings())


def test_the_picture_is_sent_as_it_is(backend: Backend) -> None:
    _, png = cv2.imencode(".png", rendered_frames()[0])
    assert backend.detect(png.tobytes(), wire.Settings()).size_wh == (640, 360)
