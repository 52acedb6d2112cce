"""The detector's HTTP API for models, jobs and benchmarks, played from memory."""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.frontend.fake_triton import FakeTriton

AT = "2026-11-21T14:00:0{}+00:00"
Answer = tuple[int, Any]


def spread(p50: float) -> dict[str, Any]:
    """Return times around a middle, in ms."""
    edges = [p50 * share for share in (0.8, 0.9, 1.0, 1.1, 1.2)]
    counts = [10, 40, 40, 10]
    return {"mean": p50, "p50": p50, "p90": p50 * 1.1, "p95": p50 * 1.15, "p99": p50 * 1.2,
            "n": 100, "edges": edges, "counts": counts}  # fmt: skip


def cell(
    engine: str, precision: str, batch: int, ms: float, worth: float | None, **more: Any
) -> dict[str, Any]:
    """Return what was measured in one cell."""
    classes = {"person": {"ap50": 0.7, "ap50_95": 0.5, "boxes": 40},
               "cat": {"ap50": None, "ap50_95": None, "boxes": 0}}  # fmt: skip
    return {
        "cell": {"engine": engine, "precision": precision, "batch": batch,
                 "input_size_wh": [416, 416], "instances": 1, "device": "cpu"},
        "state": "done",
        "artefact_id": 1,
        "engine_ms": spread(ms * 0.7),
        "pipeline_ms": spread(ms),
        "engine_fps": batch * 1430 / ms,
        "pipeline_fps": batch * 1000 / ms,
        "cpu_share": 1.7,
        "memory_bytes": 210_000_000,
        "disturbed": 0.01,
        "accuracy": worth and {"map50": worth + 0.2, "map50_95": worth, "per_class": classes,
                               "pictures": 12, "dataset": "people", "dataset_sha256": "d" * 64},
        **more,
    }  # fmt: skip


def artefact(number: int, form: str = "onnx", precision: str = "fp32") -> dict[str, Any]:
    """Return one of a version's files."""
    return {
        "id": number, "format": form, "precision": precision, "sha256": f"{number}" * 64,
        "size_bytes": 3_700_000, "static_batch": None, "origin": "upload", "made_from_id": None,
        "parity": None, "passport": None, "created_at": AT.format(1), "measurements": [],
    }  # fmt: skip


def model(name: str, *artefacts: dict[str, Any]) -> dict[str, Any]:
    """Return a model with one version."""
    return {
        "name": name, "description": "", "shipped": False, "loaded": True,
        "active": {"artefact_id": artefacts[0]["id"], "version": 1, "engine": ""},
        "versions": [{
            "number": 1, "licence": "Apache-2.0", "source": "a training", "family": "yolox",
            "created_at": AT.format(1), "labels": ["person", "cat"], "input_size_wh": [416, 416],
            "artefacts": list(artefacts),
        }],
        "promotions": [],
    }  # fmt: skip


def checkpoint(name: str) -> dict[str, Any]:
    """Return a model of which nothing can run yet."""
    made = model(name, artefact(1, "pt"))
    made["versions"][0] |= {"family": None, "labels": [], "input_size_wh": None}
    return made | {"active": None, "loaded": False}


CONVERSIONS = [
    {"format": form, "precision": precision, "why_not": why_not}
    for form, why_not in (("openvino", None), ("onnx", None),
                          ("tensorrt", "TensorRT isn't installed on this machine."))
    for precision in ("fp32", "fp16", "int8")
]  # fmt: skip


@dataclass(slots=True)
class FakeApi:
    """What the fake knows and was told; tests change it while it runs."""

    url: str = ""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    serving: list[dict[str, Any]] = field(default_factory=list)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    triton: FakeTriton | None = None  # None: an older detector, which knows none
    shadow: dict[str, Any] | None = None
    recommendation: dict[str, Any] | None = None
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)  # "DELETE /api/…": the sentence
    told: list[tuple[str, Any]] = field(default_factory=list)  # changing calls, body or size
    passwords: list[str | None] = field(default_factory=list)
    lines: int = 0  # event streams opened so far
    _listeners: list[queue.Queue[dict[str, Any] | None]] = field(default_factory=list)

    def say(self, job: dict[str, Any]) -> None:
        """Tell a job's state to all who listen."""
        self.jobs[job["id"]] = job
        for one in list(self._listeners):
            one.put(job)

    def cut(self) -> None:
        """End every event stream."""
        for one in list(self._listeners):
            one.put(None)

    def listen(self) -> queue.Queue[dict[str, Any] | None]:
        """Return a queue of jobs, which begins with all that there are."""
        one: queue.Queue[dict[str, Any] | None] = queue.Queue()
        for job in list(self.jobs.values()):
            one.put(job)
        self._listeners.append(one)
        self.lines += 1
        return one

    def job(self, number: int, kind: str = "convert", **more: Any) -> dict[str, Any]:
        """Tell of a job."""
        job = {
            "id": number, "parent_id": None, "kind": kind, "title": f"{kind} {number}",
            "state": "running", "progress": 0.4, "doing": "quantising", "request": {},
            "result": None, "error": None, "created_at": AT.format(2), "children": [], **more,
        }  # fmt: skip
        self.say(job)
        return job

    def answer(self, method: str, path: str, asked: dict[str, str], body: Any) -> Answer:
        """Answer one call."""
        if sentence := self.refusals.get(f"{method} {path}"):
            return 409, {"error": {"code": "refused", "message": sentence}}
        if method != "GET":
            self.told.append((f"{method} {path}", body if isinstance(body, dict) else asked))
        if path.startswith("/api/triton") and self.triton is not None:
            return self.triton.answer(method, path, body)
        if method == "GET":
            return self._tell(path)
        return self._do(method, path, asked, body)

    def _tell(self, path: str) -> Answer:
        fixed: dict[str, Callable[[], Any]] = {
            "/health": lambda: {"ready": True, "model": "m", "engine": "e", "precision": "fp32",
                                "device": "CPU", "fallback": None,
                                "triton": None if self.triton is None else {}},
            "/api/models": lambda: [
                {"name": name, "description": one["description"], "versions": 1,
                 "version": "1", "licence": "Apache-2.0",
                 "format": "onnx" if one["active"] else "pt",
                 "precision": "fp32", "loaded": True}
                for name, one in self.models.items()],
            "/api/serving": lambda: self.serving,
            "/api/conversions": lambda: CONVERSIONS,
            "/api/jobs": lambda: list(self.jobs.values())[::-1],
            "/api/datasets": lambda: self.datasets,
            "/api/benchmark/runs": lambda: self.runs,
        }  # fmt: skip
        if path.endswith("/shadow") and self.shadow is not None:
            return 200, self.shadow
        if path in fixed:
            return 200, fixed[path]()
        if (found := re.fullmatch(r"/api/models/([^/]+)", path)) and found[1] in self.models:
            return 200, self.models[found[1]]
        if re.fullmatch(r"/api/jobs/\d+/log|/api/artefacts/\d+/file|/api/benchmark/export", path):
            return 200, b"a line\n"
        return 404, {"error": {"code": "unknown", "message": f"There is no {path}."}}

    def _do(self, method: str, path: str, asked: dict[str, str], body: Any) -> Answer:
        if path == "/api/models":
            name = asked.get("model") or asked.get("name") or "unnamed"
            self.models[name] = model(name, artefact(1))
            return 201, self.models[name]
        if path in ("/api/convert", "/api/benchmark", "/api/pipeline"):
            number = len(self.jobs) + 1
            return 202, self.job(number, path.rsplit("/", 1)[1], request=body)
        if path == "/api/benchmark/recommend" and self.recommendation is not None:
            return 200, self.recommendation
        if found := re.fullmatch(r"/api/jobs/(\d+)/(cancel|restart)", path):
            state = {"cancel": "cancelled", "restart": "queued"}[found[2]]
            self.say({**self.jobs[int(found[1])], "state": state})
            return 200, self.jobs[int(found[1])]
        if method == "DELETE":
            self.models.pop(path.rsplit("/", 1)[1], None)
            return 204, None
        return 200, {"accuracy_loss": 0.004, "seconds": 1.2}


@contextmanager
def serving(fake: FakeApi) -> Iterator[FakeApi]:
    """Serve on threads until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        fake.cut()
        thread.join(10)
        server.server_close()


def _handler(to: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Bound(_Handler):
        fake = to

    return Bound


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[FakeApi]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/api/jobs/events":
            with suppress(OSError):
                self._stream()
            return
        data = self._body()
        body = _read(data)
        if self.command != "GET":
            self.fake.passwords.append(self.headers.get("authorization"))
        asked = dict(parse_qsl(address.query))
        if data and body is None:
            asked["size"] = str(len(data))
        status, answer = self.fake.answer(self.command, address.path, asked, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(0 if status == 204 else len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    do_POST = do_PATCH = do_DELETE = do_GET

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _stream(self) -> None:
        jobs = self.fake.listen()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        while (job := jobs.get()) is not None:
            self.wfile.write(f"event: job\ndata: {json.dumps(job)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def _read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
