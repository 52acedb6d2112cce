"""Pages, the real server and a real Triton, as an operator runs them beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sightline_engines.triton.server import TritonServer
from tests.browser import processes
from tests.browser.conftest import Site
from tests.frontend.fake_backend import free_port
from tests.triton.environment import TritonEnvironment

MODEL = "sightline-webcam"  # the shipped one, which serves from the start
TOKEN = "open-sesame"  # noqa: S105  of this site alone
DEPLOY_S = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class TritonSite(Site):
    """A site whose server knows a Triton."""

    triton: TritonServer
    url: str  # of the server

    def ask(self, path: str) -> Any:
        """Return what the server answers."""
        return httpx.get(f"{self.url}{path}", timeout=30, trust_env=False).json()

    def tell(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Have the server do something."""
        password = {"authorization": f"Bearer {TOKEN}"}
        return httpx.request(
            method, f"{self.url}{path}", json=body, headers=password, timeout=DEPLOY_S,
            trust_env=False,
        )  # fmt: skip

    def predict(self, picture: bytes) -> httpx.Response:
        """Send a picture to what is deployed."""
        files = {"image": ("picture.jpg", picture, "image/jpeg")}
        return httpx.post(f"{self.url}/predict", files=files, timeout=30, trust_env=False)

    def active(self) -> int | None:
        """Return the number of the deployment that serves, None if there is none."""
        found = self.ask("/api/triton")["deployments"]
        return next((one["number"] for one in found if one["active"]), None)

    def deployed(self) -> int:
        """Return the file that Triton has of the model, deployed where it isn't yet."""
        found = [one for one in self.ask("/api/triton")["deployments"] if one["active"]]
        if not found:
            made = self.tell("POST", "/api/triton/deployments", {"model": MODEL})
            assert made.status_code == 201, made.text
            found = [made.json()]
        return int(found[0]["artefact_id"])

    def clear(self) -> None:
        """Deploy nothing."""
        if self.active() is not None:
            self.tell("DELETE", f"/api/triton/deployments/{MODEL}").raise_for_status()


def run_triton_site(folder: Path, environment: TritonEnvironment) -> Iterator[TritonSite]:
    """Run all three until the block ends; nothing is deployed yet."""
    repository = folder / "repository"
    repository.mkdir()
    port, backend_port = free_port(), free_port()
    with TritonServer(environment.options(repository), folder / "triton.log") as triton:
        backend = processes.backend(
            backend_port,
            folder / "backend.log",
            models_dir=str(folder / "models"),
            admin_token=TOKEN,
            triton_grpc_url=triton.grpc_url,
            triton_metrics_url=triton.metrics_url,
            triton_repository=str(repository),
            triton_fallback="onnxruntime",
        )
        pages = processes.pages(port, backend_port, folder / "pages.log", admin_token=TOKEN)
        try:
            backend.start()
            pages.start()
            url = f"http://127.0.0.1:{backend_port}"
            yield TritonSite(f"http://localhost:{port}", pages, backend, triton, url)
        finally:
            pages.stop()
            backend.stop()
