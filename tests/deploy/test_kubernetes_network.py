"""Who may talk to whom in the cluster, and what the Ingress shows."""

from __future__ import annotations

import json
import re

import pytest

from sightline_backend.settings import Settings as ServerSettings
from tests.conftest import ROOT
from tests.deploy.manifests import (
    BACKEND,
    BUILDS,
    FRONTEND,
    TRITON,
    Manifests,
    built,
    served_paths,
)

PROMETHEUS, NGINX, DNS = "monitoring/prometheus", "ingress-nginx/*", "kube-system/kube-dns"


@pytest.fixture(params=BUILDS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Return each build."""
    return built(request.param)


def test_the_network_lets_through_exactly_what_is_needed() -> None:
    cpu = built("cpu")
    assert cpu.edges("ingress") == {
        (FRONTEND, BACKEND, "TCP http"),
        (NGINX, BACKEND, "TCP http"),
        (PROMETHEUS, BACKEND, "TCP http"),
        (NGINX, FRONTEND, "TCP http"),
    }
    assert cpu.edges("egress") == {
        (FRONTEND, BACKEND, "TCP http"),
        (FRONTEND, DNS, "UDP 53"),
        (FRONTEND, DNS, "TCP 53"),
    }


def test_components_open_their_own_ways_alone() -> None:
    cpu = built("cpu")
    everything = built("everything")
    assert everything.edges("ingress") - cpu.edges("ingress") == {
        (BACKEND, TRITON, "TCP http"),
        (BACKEND, TRITON, "TCP grpc"),
        (BACKEND, TRITON, "TCP metrics"),
        (PROMETHEUS, TRITON, "TCP metrics"),
    }
    assert everything.edges("egress") - cpu.edges("egress") == {
        (BACKEND, TRITON, "TCP http"),
        (BACKEND, TRITON, "TCP grpc"),
        (BACKEND, TRITON, "TCP metrics"),
        (BACKEND, DNS, "UDP 53"),
        (BACKEND, DNS, "TCP 53"),
        (BACKEND, "anywhere", "TCP 5432"),
        (FRONTEND, "anywhere", "UDP 3478"),
        (FRONTEND, "anywhere", "TCP 3478"),
        (FRONTEND, "anywhere", "TCP 5349"),
    }


def test_every_pod_is_closed_to_begin_with(manifests: Manifests) -> None:
    deny = manifests.one("NetworkPolicy", "sightline-default-deny")["spec"]
    assert deny == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "sightline"}},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_policies_name_ports_that_their_pods_have(manifests: Manifests) -> None:
    ports = {
        name: {port["name"] for port in container["ports"]}
        for name, _, container in manifests.deployments()
    }
    for direction in ("ingress", "egress"):
        for _, there, port in manifests.edges(direction):
            if there in ports:
                assert port.removeprefix("TCP ") in ports[there]


def test_the_ingress_shows_the_page_and_the_detector_and_nothing_else() -> None:
    cpu = built("cpu")
    shown = {
        (path["path"], path["pathType"], path["backend"]["service"]["name"])
        for ingress in cpu.of("Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert shown == {
        ("/", "Prefix", FRONTEND),
        ("/ws/detect", "Exact", BACKEND),
        ("/detect", "Exact", BACKEND),
    }
    assert {path for path, kind, _ in shown if kind == "Exact"} <= served_paths()


def test_the_ingress_keeps_a_page_with_its_pod_and_lets_sockets_live() -> None:
    cpu = built("cpu")
    prefix = "nginx.ingress.kubernetes.io/"
    page = cpu.one("Ingress", FRONTEND)["metadata"]["annotations"]
    detector = cpu.one("Ingress", BACKEND)["metadata"]["annotations"]
    assert page[f"{prefix}affinity"] == "cookie"
    assert f"{prefix}affinity" not in detector
    settings = ServerSettings()
    for one in (page, detector):
        for kind in ("read", "send"):
            assert int(one[f"{prefix}proxy-{kind}-timeout"]) > settings.idle_timeout_s
    megabytes = int(detector[f"{prefix}proxy-body-size"].removesuffix("m"))
    assert megabytes * 2**20 > settings.max_upload_bytes
    config = (ROOT / "frontend/sightline_frontend/.streamlit/config.toml").read_text()
    (clip,) = re.findall(r"maxUploadSize = (\d+)", config)
    assert int(page[f"{prefix}proxy-body-size"].removesuffix("m")) > int(clip)


def test_the_host_is_set_in_one_place() -> None:
    everything = built("everything")
    text = json.dumps(everything.objects)
    assert "example.org" not in text
    assert everything.environment(FRONTEND)["SIGHTLINE_PUBLIC_BACKEND_URL"] == "https://cams.test"
    for ingress in everything.of("Ingress"):
        assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["cams.test"]
        assert [tls["hosts"] for tls in ingress["spec"]["tls"]] == [["cams.test"]]
    assert not [one for one in everything.of("ConfigMap") if "host" in one.get("data", {})]
