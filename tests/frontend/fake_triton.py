"""The detector's API for Triton, played from memory: a server that does all that it is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, Any]
_DEPLOYMENT = re.compile(r"/api/triton/deployments/([^/]+)(/rollback)?")
_MODEL = re.compile(r"/api/triton/models/([^/]+)/(load|unload)")


def statistics(count: int = 0, failures: int = 0, **more: Any) -> dict[str, Any]:
    """Return what a model has done that ran `count` pictures, most of them four at a time."""
    mean = {"request": 12.5, "queue": 0.4, "input": 0.1, "infer": 11.9, "output": 0.1}
    return {
        "inferences": count, "executions": count // 4, "requests": count, "failures": failures,
        "success_rate": count / (count + failures) if count + failures else None,
        "mean_ms": mean if count else dict.fromkeys(mean), "p50_ms": 12.0 if count else None,
        "p95_ms": 18.25 if count else None, "p99_ms": 31.0 if count else None,
        "batch_sizes": {"4": count // 4, "1": 3} if count else {},
        "last_inference_at": "2026-11-21T19:45:10+00:00" if count else None, **more,
    }  # fmt: skip


def deployment(model: str, number: int, *, active: bool = True, **more: Any) -> dict[str, Any]:
    """Return one deployment."""
    steps = ("preprocess", "detector", "postprocess")
    return {
        "model": model, "number": number, "kind": "detector", "active": active, "loaded": active,
        "artefact_id": 1, "version": "1", "format": "onnx", "precision": "fp32",
        "platform": "onnxruntime", "max_batch": 8,
        "created_at": f"2026-11-21T19:4{number}:00+00:00",
        "config": {"platform": "onnxruntime", "instance_count": 2, "preferred_batch_sizes": [4],
                   "max_queue_delay_us": 1500, "gpus": None, "accelerator": ""},
        "names": {"pictures": model, "tensors": f"{model}_tensors",
                  "parts": [f"{model}__{number}__{step}" for step in steps]},
        "rollback_to": number - 1 if active and number > 1 else None, **more,
    }  # fmt: skip


def server_model(name: str, kind: str = "other", **more: Any) -> dict[str, Any]:
    """Return one model of Triton's, loaded and idle."""
    return {
        "name": name, "version": "1", "state": "READY", "reason": "", "kind": kind,
        "deployment": None, "platform": "", "probe": None, "statistics": None, **more,
    }  # fmt: skip


def models_of(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the models that a deployment consists of."""
    of = {"model": deployment["model"], "number": deployment["number"]}
    state = {"state": "READY", "reason": ""}
    if not deployment["loaded"]:
        state = {"state": "UNAVAILABLE", "reason": "unloaded"}
    kinds = zip(deployment["names"]["parts"], ("step", "detector", "step"), strict=True)
    made = [server_model(name, kind, deployment=of, **state) for name, kind in kinds]
    if deployment["active"]:
        for kind in ("pictures", "tensors"):
            made.append(server_model(deployment["names"][kind], kind, deployment=of, **state))
    return made


@dataclass(slots=True)
class FakeTriton:
    """A Triton server and what is deployed to it; tests change it while it runs."""

    facts: dict[str, Any] = field(default_factory=dict)  # in place of what a ready server says
    deployments: list[dict[str, Any]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)  # models deployed by hand
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)  # statistics by model
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    gpus: list[dict[str, Any]] = field(default_factory=list)

    def deploy(self, model: str, **more: Any) -> dict[str, Any]:
        """Put a further deployment of a model into service."""
        number = 1 + max((one["number"] for one in self._of(model)), default=0)
        for one in self._of(model):
            one.update(active=False, loaded=False, rollback_to=None)
        self.deployments.insert(0, deployment(model, number, **more))
        return self.deployments[0]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """Answer one call."""
        if path == "/api/triton":
            return 200, self._status()
        if path == "/api/triton/deployments":
            more = {"max_batch": body["max_batch"], "config": body["config"]}
            return 201, self.deploy(body["model"], artefact_id=body["artefact_id"], **more)
        if found := _MODEL.fullmatch(path):
            for one in self._of(found[1].removesuffix("_tensors")):
                one["loaded"] = one["active"] and found[2] == "load"
            return 200, server_model(found[1])
        found = _DEPLOYMENT.fullmatch(path)
        if found is None:
            return 404, {"error": {"code": "unknown", "message": f"There is no {path}."}}
        if method == "DELETE":
            self.deployments = [one for one in self.deployments if one["model"] != found[1]]
            return 204, None
        now, before = self._of(found[1])[:2]
        now.update(active=False, loaded=False, rollback_to=None)
        before.update(active=True, loaded=True, rollback_to=None)
        return 200, before

    def _of(self, model: str) -> list[dict[str, Any]]:
        return [one for one in self.deployments if one["model"] == model]

    def _status(self) -> dict[str, Any]:
        models = [one for made in self.deployments for one in models_of(made)] + self.others
        if not self.facts.get("live", True):
            models = []
        for one in models:
            one["probe"] = self.probes.get(one["name"], one["probe"])
            one["statistics"] = self.figures.get(one["name"], one["statistics"])
        return {
            "configured": True, "why_not": None, "protocol": "grpc", "url": "triton:8001",
            "live": True, "ready": True, "version": "2.51.0", "trouble": None,
            "can_deploy": True, "why_not_deploy": None, "deployments": self.deployments,
            "models": models, "gpus": self.gpus, **self.facts,
        }  # fmt: skip
