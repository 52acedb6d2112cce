"""A real server with a detector that finds yellow things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sightline_frontend.backend import Backend
from tests.browser import processes
from tests.frontend.fake_api import FakeApi, artefact, model, serving
from tests.frontend.fake_backend import free_port
from tests.frontend.fake_triton import FakeTriton


@pytest.fixture(scope="package")
def backend_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    program = processes.odd_backend(
        port, tmp_path_factory.mktemp("backend") / "backend.log", "--yellow"
    )
    program.start()
    yield f"http://127.0.0.1:{port}"
    program.stop()


@pytest.fixture
def backend(backend_url: str) -> Iterator[Backend]:
    backend = Backend(backend_url, timeout_s=30)
    yield backend
    backend.close()


@pytest.fixture
def absent_backend() -> Iterator[Backend]:
    """Return a client of a server that isn't there."""
    backend = Backend(f"http://127.0.0.1:{free_port()}", timeout_s=5)
    yield backend
    backend.close()


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with serving(FakeApi(triton=FakeTriton())) as fake:
        fake.models["people"] = model(
            "people", artefact(1), artefact(2, "openvino", "int8"), artefact(3, "tensorrt", "fp16")
        )
        yield fake


@pytest.fixture
def triton(fake: FakeApi) -> FakeTriton:
    assert fake.triton is not None
    return fake.triton
