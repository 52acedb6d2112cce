"""What Triton adds to the compose file: a network, a volume, an image; and nothing published."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from sightline_backend.settings import Settings as ServerSettings
from tests.conftest import ROOT
from tests.deploy.test_compose import ELSEWHERE, MAIN, OVERRIDES, TRITON, configured, read
from tests.deploy.test_image_pins import pins

COMPOSE = ROOT / "deploy" / "compose"
ADDED = COMPOSE / "triton.yml"
SHARED = COMPOSE / "triton-shm.yml"
DOCKERFILE = TRITON.read_text()
REQUIREMENTS = TRITON.with_name("requirements.txt")
PORTS = {"http": "8000", "grpc": "8001", "metrics": "8002"}  # Triton's own choice


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return the services as Compose puts them together."""
    found: dict[str, Any] = configured({}, MAIN, ADDED)["services"]
    return found


def test_only_the_server_and_prometheus_reach_triton(services: dict[str, Any]) -> None:
    there = {name for name, one in services.items() if "triton" in one.get("networks", {})}
    assert there == {"backend", "prometheus", "triton"}
    assert set(services["triton"]["networks"]) == {"triton"}
    assert read(ADDED)["networks"] == {"triton": {"internal": True}}
    assert {"front", "monitoring"} < set(services["backend"]["networks"])
    assert set(services["prometheus"]["networks"]) == {"monitoring", "triton"}


@pytest.mark.parametrize("path", [MAIN, *OVERRIDES], ids=lambda path: path.name)
def test_no_file_publishes_a_port_of_triton(path: Any) -> None:
    service = read(path)["services"].get("triton", {})
    assert "ports" not in service
    assert service.get("network_mode") is None
    assert service.get("ipc") is None
    assert "privileged" not in service


def test_the_server_is_told_where_triton_is(services: dict[str, Any]) -> None:
    environment = services["backend"]["environment"]
    assert environment["SIGHTLINE_TRITON_GRPC_URL"] == f"triton:{PORTS['grpc']}"
    assert environment["SIGHTLINE_TRITON_HTTP_URL"] == f"triton:{PORTS['http']}"
    assert (
        environment["SIGHTLINE_TRITON_METRICS_URL"] == f"http://triton:{PORTS['metrics']}/metrics"
    )
    assert f"EXPOSE {' '.join(PORTS.values())}\n" in DOCKERFILE
    jobs = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    (job,) = [one for one in jobs["scrape_configs"] if one["job_name"] == "triton"]
    (found,) = job["dns_sd_configs"]
    assert (found["names"], str(found["port"])) == (["triton"], PORTS["metrics"])


def test_the_server_writes_the_repository_and_triton_reads_it(services: dict[str, Any]) -> None:
    mounts = {
        name: one
        for name in ("backend", "triton")
        for one in services[name]["volumes"]
        if one["source"] == "triton-models"
    }
    folder = services["backend"]["environment"]["SIGHTLINE_TRITON_REPOSITORY"]
    assert mounts["backend"]["target"] == folder
    assert not mounts["backend"].get("read_only")
    assert mounts["triton"]["read_only"] is True
    assert f"--model-repository={mounts['triton']['target']}" in DOCKERFILE


def test_a_new_repository_belongs_to_the_user_of_both() -> None:
    server = (ROOT / "backend" / "Dockerfile").read_text()
    folder = read(ADDED)["services"]["backend"]["environment"]["SIGHTLINE_TRITON_REPOSITORY"]
    for text, made in ((server, folder), (DOCKERFILE, "/models")):
        (user,) = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
        (install,) = re.findall(r"install -d -o 10001 -g 10001 ((?:.*\\\n)*.+)", text)
        assert user == "10001:10001"
        assert made in install.split()


def test_shared_memory_is_one_folder_of_both_and_private_without_its_file() -> None:
    together = configured({}, MAIN, ADDED, SHARED)
    for name in ("backend", "triton"):
        (mount,) = [m for m in together["services"][name]["volumes"] if m["target"] == "/dev/shm"]
        assert mount["source"] == "triton-shm"
        assert mount["volume"] == {"nocopy": True}  # else with the rights of the image's folder
    assert together["volumes"]["triton-shm"]["driver_opts"]["type"] == "tmpfs"
    transport = together["services"]["backend"]["environment"]["SIGHTLINE_TRITON_TRANSPORT"]
    ServerSettings(triton_grpc_url="triton:8001", triton_transport=transport)
    assert "/dev/shm" not in ADDED.read_text()


def test_triton_loads_what_it_is_told_to_and_tells_quantiles() -> None:
    for option in (
        "--model-control-mode=explicit",
        "--strict-readiness=false",  # else it is unready for good once a model was unloaded
        "--metrics-config=summary_latencies=true",
        "--metrics-config=summary_quantiles=0.5:0.05,0.95:0.005,0.99:0.001",
        "--cache-config=local,size=",  # a deployment may ask for the response cache
    ):
        assert option in DOCKERFILE


def test_its_health_is_asked_with_a_limit_and_not_undone_by_one_bad_model() -> None:
    (check,) = re.findall(r"^HEALTHCHECK (.+)\\\n +CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert "--timeout=5s" in check[0]
    assert '"--max-time", "4"' in check[1]
    assert check[1].endswith(f'"http://127.0.0.1:{PORTS["http"]}/v2/health/live"]')


def test_its_tensorrt_is_the_one_that_plans_are_made_with() -> None:
    server = (ROOT / "backend" / "Dockerfile").read_text()
    (makes,) = re.findall(r"^ARG TENSORRT=(\d+\.\d+\.\d+)\.", server, re.MULTILINE)
    (has,) = re.findall(r"^ARG TENSORRT=([\d.]+)$", DOCKERFILE, re.MULTILINE)
    assert has == makes
    arguments = read(ADDED)["services"]["triton"]["build"]["args"]
    assert arguments["TENSORRT"] == makes
    assert f"ARG TRITON_IMAGE={arguments['TRITON_IMAGE']}\n" in DOCKERFILE


def test_its_python_has_what_the_steps_import_pinned_by_hash() -> None:
    found = pins(REQUIREMENTS)
    assert set(found) == {"numpy", "opencv-python-headless"}
    assert all(version.startswith("1.") for version in found["numpy"])  # of the backend's own build
    entries = re.split(r"\n(?=[a-z])", REQUIREMENTS.read_text())[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--index|--find-links", REQUIREMENTS.read_text())


def test_the_second_names_of_settings_reach_the_server() -> None:
    second = {
        str(choice)
        for field in ServerSettings.model_fields.values()
        if isinstance(field.validation_alias, AliasChoices)
        for choice in field.validation_alias.choices
        if str(choice).isupper() and not str(choice).startswith("SIGHTLINE_")
    }
    assert second == ELSEWHERE
    given = configured({name: f"given-{name}" for name in second}, MAIN)["services"]["backend"]
    assert {name: given["environment"][name] for name in second} == {
        name: f"given-{name}" for name in second
    }
