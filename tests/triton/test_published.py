"""What our deployment files let others reach of Triton: nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sightline_engines.errors import ProviderError
from sightline_engines.triton.server import ServerOptions, TritonServer
from tests.conftest import ROOT
from tests.deploy.manifests import BACKEND, BUILDS, TRITON, Manifests, built
from tests.deploy.test_compose import MAIN, OVERRIDES, REQUIRED, configured

COMPOSE = ROOT / "deploy" / "compose"
TRITONS = tuple(path for path in OVERRIDES if path.name.startswith("triton"))
NETWORK = "triton"
HAND_WRITTEN = (*sorted(COMPOSE.iterdir()), MAIN)


def services(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return a compose file's services as they are written."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(path.read_text())["services"]
    return found


def is_triton(name: str, service: Mapping[str, Any]) -> bool:
    """Tell by name, image or command whether a service is a tritonserver."""
    return "triton" in f"{name} {service.get('image')} {service.get('command')}"


@pytest.mark.parametrize("path", [MAIN, *OVERRIDES], ids=lambda path: path.stem)
def test_no_compose_file_publishes_a_port_of_triton(path: Path) -> None:
    for name, service in services(path).items():
        if is_triton(name, service):
            assert not service.get("ports"), name
            assert "network_mode" not in service
            assert service.get("networks", [NETWORK]) == [NETWORK]
        for port in service.get("ports", ()):
            assert "triton" not in str(port).lower()


def test_all_compose_files_together_leave_triton_in_a_closed_network_alone() -> None:
    whole = configured(REQUIRED, MAIN, *OVERRIDES)
    tritons = {n: one for n, one in whole["services"].items() if is_triton(n, one)}
    assert tritons
    for service in tritons.values():
        assert not service.get("ports")
        assert set(service["networks"]) == {NETWORK}
    assert whole["networks"][NETWORK]["internal"] is True
    beside = {n for n, one in whole["services"].items() if NETWORK in one.get("networks", ())}
    assert beside - set(tritons) == {"backend", "prometheus"}


def test_no_proxy_of_ours_knows_triton() -> None:
    proxies = [path for path in HAND_WRITTEN if path.suffix not in (".yml", ".yaml")]
    assert proxies
    for path in proxies:
        assert "triton" not in path.read_text().lower(), path
    for path in HAND_WRITTEN:
        if path not in (MAIN, *TRITONS):
            forwarded = re.findall(r"(?:https?|grpc)://triton\S*", path.read_text())
            assert not forwarded, path


@pytest.fixture(params=BUILDS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Return each build of the Kubernetes files."""
    return built(request.param)


def test_the_cluster_shows_triton_to_nobody_outside(manifests: Manifests) -> None:
    for service in manifests.of("Service"):
        if "triton" in yaml.safe_dump(service):
            spec = service["spec"]
            assert spec.get("type", "ClusterIP") == "ClusterIP"
            assert "externalIPs" not in spec
            assert not any("nodePort" in port for port in spec["ports"])
    for kind in ("Ingress", "HTTPRoute", "Gateway", "GRPCRoute", "TLSRoute", "TCPRoute"):
        assert not any("triton" in yaml.safe_dump(one) for one in manifests.of(kind)), kind


def test_triton_takes_no_port_of_its_node(manifests: Manifests) -> None:
    for name, pod, container in manifests.deployments():
        if "triton" in name:
            assert not pod.get("hostNetwork")
            assert not any("hostPort" in port for port in container["ports"])


def test_in_the_cluster_the_backend_and_prometheus_alone_reach_triton() -> None:
    asked = {edge for edge in built("everything").edges("ingress") if edge[1] == TRITON}
    assert asked == {
        (BACKEND, TRITON, "TCP http"),
        (BACKEND, TRITON, "TCP grpc"),
        (BACKEND, TRITON, "TCP metrics"),
        ("monitoring/prometheus", TRITON, "TCP metrics"),
    }


def test_a_server_of_our_own_listens_on_this_machine_alone(tmp_path: Path) -> None:
    program = tmp_path / "tritonserver"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/given\n')
    program.chmod(0o755)
    server = TritonServer(ServerOptions(program, tmp_path), tmp_path / "log")
    with pytest.raises(ProviderError, match="ended"):
        server.start()
    given = (tmp_path / "given").read_text().splitlines()
    listens = [one for one in given if "address" in one]
    assert listens == [f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")]
    assert "--model-control-mode=explicit" in given
