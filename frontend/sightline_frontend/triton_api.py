"""What the pages ask and tell the detector about Triton."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sightline_frontend.backend import Backend
from sightline_frontend.deployed import Deployment, TritonStatus
from sightline_frontend.models_api import LOADING_S
from sightline_frontend.told import told


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be deployed, and how."""

    model: str
    artefact_id: int
    max_batch: int
    config: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False  # where live video moves with it: past the accuracy gate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TritonApi:
    """The detector's Triton; every call raises BackendError."""

    backend: Backend

    def status(self) -> TritonStatus:
        """Return how Triton is and what it has."""
        return told(TritonStatus.from_dict, self.backend.read("/api/triton"))

    def deploy(self, order: Order) -> Deployment:
        """Put a file of a model into service; returns when it answers."""
        body = {"model": order.model, "artefact_id": order.artefact_id,
                "max_batch": order.max_batch, "config": dict(order.config),
                "force": order.force, "reason": order.reason}  # fmt: skip
        made = self.backend.change("POST", "/api/triton/deployments", body, timeout_s=LOADING_S)
        return told(Deployment.from_dict, made)

    def roll_back(self, model: str) -> Deployment:
        """Let the deployment before serve again."""
        path = f"{_deployments(model)}/rollback"
        return told(Deployment.from_dict, self.backend.change("POST", path, timeout_s=LOADING_S))

    def remove(self, model: str) -> None:
        """Take a model out of service and delete its deployments."""
        self.backend.change("DELETE", _deployments(model), timeout_s=LOADING_S)

    def load(self, name: str) -> None:
        """Have Triton load one of its models, with the models that it is made of."""
        self.backend.change("POST", f"{_model(name)}/load", timeout_s=LOADING_S)

    def unload(self, name: str, *, dependents: bool) -> None:
        """Have Triton unload one of its models, `dependents`: also those that it is made of."""
        body = {"dependents": dependents}
        self.backend.change("POST", f"{_model(name)}/unload", body, timeout_s=LOADING_S)


def _deployments(model: str) -> str:
    return f"/api/triton/deployments/{quote(model, safe='')}"


def _model(name: str) -> str:
    return f"/api/triton/models/{quote(name, safe='')}"
