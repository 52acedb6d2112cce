"""The Kubernetes manifests as they come out of kustomize, and who may talk to whom by them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import yaml

from sightline_backend.routes import detect, health, live, metrics, models
from tests.conftest import ROOT, missing

KUBERNETES = ROOT / "deploy" / "kubernetes"
Object: TypeAlias = dict[str, Any]
Edge: TypeAlias = tuple[str, str, str]  # from, to, port
OVERLAYS = ("cpu", "gpu")
COMPONENTS = (
    *("keda", "prometheus-operator", "grafana", "models-volume", "turn", "triton"),
    *("postgres", "admin", "data"),
)
APART = ("jobs",)  # not together with keda and models-volume
BUILDS = (*OVERLAYS, "everything")
BACKEND, FRONTEND, TRITON = "sightline-backend", "sightline-frontend", "sightline-triton"


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects of one build."""

    objects: Sequence[Object]

    def of(self, kind: str) -> Sequence[Object]:
        """Return the objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """Return an object by its name, without the hash that kustomize appends."""
        (found,) = [
            one
            for one in self.of(kind)
            if one["metadata"]["name"] == name
            or (kind == "ConfigMap" and one["metadata"]["name"].rpartition("-")[0] == name)
        ]
        return found

    def pod(self, name: str) -> Object:
        """Return the pod template's spec of a Deployment."""
        spec: Object = self.one("Deployment", name)["spec"]["template"]["spec"]
        return spec

    def container(self, name: str) -> Object:
        """Return the only container of a Deployment."""
        (container,) = self.pod(name)["containers"]
        return dict(container)

    def environment(self, name: str) -> dict[str, str]:
        """Return a container's variables; what the cluster fills in is an empty text."""
        container = self.container(name)
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self.one_exactly("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {one["name"]: one.get("value", "") for one in container["env"]}

    def one_exactly(self, kind: str, name: str) -> Object:
        """Return an object by its whole name."""
        (found,) = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    def deployments(self) -> Iterator[tuple[str, Object, Object]]:
        """Yield each Deployment's name, pod spec and container."""
        for one in self.of("Deployment"):
            name = one["metadata"]["name"]
            yield name, self.pod(name), self.container(name)

    def edges(self, direction: str) -> set[Edge]:
        """Return what the NetworkPolicies let through, "ingress" or "egress"."""
        return {edge for policy in self.of("NetworkPolicy") for edge in _edges(policy, direction)}


def _edges(policy: Object, direction: str) -> Iterator[Edge]:
    here = _name(policy["spec"]["podSelector"]["matchLabels"])
    others = "from" if direction == "ingress" else "to"
    for rule in policy["spec"].get(direction, ()):
        for peer in rule.get(others, [None]):
            there = "anywhere" if peer is None else _peer(peer)
            for port in rule["ports"]:
                ends = (there, here) if direction == "ingress" else (here, there)
                yield (*ends, f"{port['protocol']} {port['port']}")


def _peer(peer: Object) -> str:
    pod = _name(peer["podSelector"]["matchLabels"]) if "podSelector" in peer else "*"
    if "namespaceSelector" not in peer:
        return pod
    return f"{peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}/{pod}"


def _name(labels: Mapping[str, str]) -> str:
    (value,) = labels.values()
    return value


@cache
def built(name: str) -> Manifests:
    """Return an overlay as it is; "everything" is the GPU one with every component."""
    if name in OVERLAYS:
        return build(KUBERNETES / "overlays" / name)
    with TemporaryDirectory() as folder:
        return build_with(Path(folder), "gpu", COMPONENTS)


def build(folder: Path) -> Manifests:
    """Return what `kubectl kustomize` makes of a folder."""
    done = subprocess.run(
        [_kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return Manifests([one for one in yaml.safe_load_all(done.stdout) if one])


def build_with(folder: Path, overlay: str, components: Sequence[str]) -> Manifests:
    """Return what a copy of an overlay makes with further components, as README.md tells users.

    `folder` takes the copy; it is to be empty.
    """
    shutil.copytree(KUBERNETES, folder / "deploy" / "kubernetes")
    grafana = ROOT / "monitoring" / "grafana"
    shutil.copytree(grafana, folder / "monitoring" / "grafana")
    mine = folder / "deploy" / "kubernetes" / "overlays" / "mine"
    shutil.copytree(mine.parent / overlay, mine)
    file = mine / "kustomization.yaml"
    wanted = yaml.safe_load(file.read_text())
    wanted["components"] += [f"../../components/{name}" for name in components]
    file.write_text(yaml.safe_dump(wanted))
    address = mine / "address.yaml"
    address.write_text(address.read_text().replace("sightline.example.org", "cams.test"))
    return build(mine)


def served_paths() -> set[str]:
    """Return the paths that the server answers."""
    modules = (detect, health, live, metrics, models)
    return {getattr(route, "path", "") for one in modules for route in one.router.routes}


def _kubectl() -> str:
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        missing("no kubectl of 1.32 or newer; Debian's package kubectl has it")
    assert found
    return found
