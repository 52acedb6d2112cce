"""What the API lets a client do to Triton: its named operations, on names of the repository."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.sidecar import sidecar_path
from sightline_engines.triton.client import open_client
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.server import TritonServer
from tests.backend.running import Backend, running
from tests.fakes import encoded, grey
from tests.triton.environment import TritonEnvironment
from tests.triton.hostile import HOSTILE_NAMES
from tests.triton.test_trust import HOSTILE_LABELS, check_python, programs, shown, tree

PICTURE = encoded(grey(90, 320, 240))
REACHED = {  # all that a client may see of Triton, and have done to it
    ("GET", "/api/triton"),
    ("POST", "/api/triton/deployments"),
    ("POST", "/api/triton/deployments/{model}/rollback"),
    ("DELETE", "/api/triton/deployments/{model}"),
    ("POST", "/api/triton/models/{name}/load"),
    ("POST", "/api/triton/models/{name}/unload"),
}
NAMES = [name for name in HOSTILE_NAMES if name and len(name) < 1000]


@pytest.fixture(scope="module")
def server(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """Run a Triton whose repository has a model's folder beside it, outside."""
    folder = tmp_path_factory.mktemp("triton")
    (folder / "repository").mkdir()
    (folder / "outside" / "1").mkdir(parents=True)
    (folder / "outside" / "config.pbtxt").write_text('backend: "python"')
    (folder / "outside" / "1" / "model.py").write_text("raise SystemExit\n")
    options = triton_environment.options(folder / "repository")
    with TritonServer(options, folder / "log") as server:
        yield server


@asynccontextmanager
async def backend_of(server: TritonServer, **settings: Any) -> AsyncIterator[Backend]:
    """Run the real app on a Triton."""
    asked = {
        "triton_grpc_url": server.grpc_url,
        "triton_http_url": server.http_url,
        "triton_repository": server.options.repository,
    }
    async with running(**{**asked, **settings}) as backend:
        yield backend


def loaded(server: TritonServer) -> set[tuple[str, str]]:
    """Return what Triton has, and how it is."""
    with open_client(TritonOptions(grpc_url=server.grpc_url)) as client:
        return {(one.name, one.state) for one in client.index() if one.state}


def held(server: TritonServer) -> dict[str, bytes | str]:
    """Return the files beside and in the repository, but for our own lock and counters."""
    everything = tree(server.options.repository.parent)
    return {p: held for p, held in everything.items() if "/.sightline" not in p and p != "log"}


@contextmanager
def canary() -> Iterator[tuple[int, list[object]]]:
    """Listen on a port that nobody has a reason to call; gives it, and who called."""
    callers: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def wait() -> None:
            try:
                while True:
                    connection, address = listener.accept()
                    connection.close()
                    callers.append(address)
            except OSError:
                return

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield listener.getsockname()[1], callers
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def in_address(name: str) -> str:
    """Return a name as part of an address, so that not even dots are taken for a way."""
    return quote(name, safe="").replace(".", "%2E")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_no_name_from_a_client_reaches_anything_else(
    server: TritonServer, protocol: str
) -> None:
    files, models = held(server), loaded(server)
    async with backend_of(server, triton_protocol=protocol) as backend:
        for name in NAMES:
            at = in_address(name)
            for answer in (
                await backend.http.post(f"/api/triton/models/{at}/load"),
                await backend.http.post(f"/api/triton/models/{at}/unload", json={}),
                await backend.http.post(f"/api/triton/deployments/{at}/rollback"),
                await backend.http.delete(f"/api/triton/deployments/{at}"),
                await backend.http.post("/api/triton/deployments", json={"model": name}),
                await backend.http.post(
                    "/predict", params={"model": name}, files={"image": PICTURE}
                ),
            ):
                if answer.is_redirect:  # a slash too many is taken away
                    continue
                assert 400 <= answer.status_code < 500, (shown(name), answer.request, answer.text)
                assert set(answer.json()) == {"error"}
    assert held(server) == files
    assert loaded(server) == models


@pytest.mark.parametrize("name", ["../outside", "/etc", "a" * 5000, "sightline-webcam/../x"])
async def test_no_name_in_the_settings_does(server: TritonServer, name: str) -> None:
    async with backend_of(server, triton_model=name) as backend:
        answer = await backend.http.post("/predict", files={"image": PICTURE})
    assert 400 <= answer.status_code < 600
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "config",
    [
        {"platform": "python"},
        {"platform": "../../outside"},
        {"backend": "python"},
        {"accelerator": "../libevil.so"},
        {"accelerator_precision": 'fp32"}] backend: "python'},
        {"parameters": {"EXECUTION_ENV_PATH": {"string_value": "/tmp/x"}}},
        {"gpus": ["0 backend"]},
        {"versions": "../1"},
        {"instance_count": 10**9},
        {"default_model_filename": "../../outside/1/model.py"},
    ],
    ids=json.dumps,
)
async def test_a_config_from_a_client_chooses_no_backend_and_no_file(
    server: TritonServer, config: Mapping[str, Any]
) -> None:
    files = held(server)
    async with backend_of(server) as backend:
        asked = {"model": "sightline-webcam", "config": config}
        answer = await backend.http.post("/api/triton/deployments", json=asked)
    assert 400 <= answer.status_code < 500, answer.text
    assert held(server) == files


async def test_a_client_reaches_the_named_operations_alone(server: TritonServer) -> None:
    async with backend_of(server) as backend:
        spec = (await backend.http.get("/openapi.json")).json()
        routes = {
            (method.upper(), path)
            for path, one in spec["paths"].items()
            for method in one
            if "triton" in path
        }
        assert routes == REACHED
        for method, path in (
            ("GET", "/v2"),
            ("GET", "/v2/health/ready"),
            ("POST", "/v2/repository/index"),
            ("POST", "/v2/repository/models/x/load"),
            ("POST", "/v2/systemsharedmemory/region/x/register"),
            ("GET", "/v2/cudasharedmemory/status"),
            ("POST", "/v2/logging"),
            ("GET", "/v2/models/x/trace/setting"),
            ("POST", "/api/triton/v2/repository/index"),
            ("POST", "/api/triton/repository/models/x/load"),
            ("GET", "/api/triton/metrics"),
            ("GET", "/api/triton/models/x/config"),
            ("POST", "/api/triton/models/x/infer"),
            ("POST", "/api/triton/models/x/register"),
        ):
            answer = await backend.http.request(method, path)
            assert answer.status_code in (404, 405), path


async def test_a_load_takes_no_config_from_a_client(server: TritonServer) -> None:
    override = {"backend": "python", "max_batch_size": 4}
    body = {"parameters": {"config": json.dumps(override), "file:1/model.py": "cHJpbnQoKQ=="}}
    async with backend_of(server) as backend:
        answer = await backend.http.post("/api/triton/models/nothing/load", json=body)
    assert 400 <= answer.status_code < 500
    assert ("nothing", "READY") not in loaded(server)


async def test_addresses_come_from_the_settings_alone(server: TritonServer) -> None:
    with canary() as (port, callers):
        other = f"127.0.0.1:{port}"
        asked = {name: other for name in ("url", "grpc_url", "http_url", "triton_url", "server")}
        headers = {name: other for name in ("x-triton-url", "x-forwarded-host", "forwarded")}
        async with backend_of(server) as backend:
            http = backend.http
            for path in (p for m, p in REACHED if m == "POST"):
                at = path.format(model="nothing", name="nothing")
                await http.post(at, params=asked, headers=headers, json={"model": "x", **asked})
            await http.get("/api/triton", params=asked, headers=headers)
            await http.post(
                "/predict",
                params={**asked, "model": other},
                data=asked,
                files={"image": PICTURE},
                headers=headers,
            )
            await http.get("/health", params=asked, headers={**headers, "host": other})
            spec = (await http.get("/openapi.json")).json()
        assert not callers
    ours = {path: one for path, one in spec["paths"].items() if "triton" in path}
    assert ours
    given = json.dumps(
        {path: [call.get("parameters") for call in one.values()] for path, one in ours.items()}
    )
    assert not any(word in given for word in ("url", "host", "address", "repository", "folder"))


async def test_an_upload_that_is_deployed_brings_data_alone(server: TritonServer) -> None:
    labels = list(HOSTILE_LABELS[:2])
    own = json.loads(sidecar_path(shipped_model()).read_text())
    for told in ("name", "sha256"):
        own.pop(told, None)
    sidecar = {**own, "labels": labels, "postprocess": {"conf": 0}}
    asked = {"filename": "../model.py.onnx", "sidecar": json.dumps(sidecar)}
    async with backend_of(server) as backend:
        http = backend.http
        content = shipped_model().read_bytes()
        added = await http.post("/api/models", params=asked, content=content)
        assert added.status_code == 201, added.text
        name = added.json()["name"]
        deployed = await http.post("/api/triton/deployments", json={"model": name})
        assert deployed.status_code == 201, deployed.text
        check_python(server.options.repository)
        answer = await http.post("/predict", params={"model": name}, files={"image": PICTURE})
        found = {one["class_name"] for one in answer.json()["detections"]}
        assert found
        assert found <= set(labels)
        removed = await http.delete(f"/api/triton/deployments/{in_address(name)}")
        assert removed.status_code == 204, removed.text
    assert not programs(server.options.repository)
