"""The Kubernetes manifests: they build, fit the schemas, and fit the images and settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from pydantic_settings import BaseSettings

from sightline_backend.cli.stack import START_LIMIT_S
from sightline_backend.settings import Settings as ServerSettings
from sightline_backend.version import VERSION
from sightline_frontend.settings import Settings as PageSettings
from tests.conftest import ROOT
from tests.deploy.manifests import (
    APART,
    BACKEND,
    BUILDS,
    COMPONENTS,
    FRONTEND,
    KUBERNETES,
    OVERLAYS,
    TRITON,
    Manifests,
    build,
    build_with,
    built,
    served_paths,
)

NO_SCHEMA = {"ScaledObject", "PodMonitor", "PrometheusRule"}  # of operators, not of Kubernetes
LARGEST = 256 * 1024  # `kubectl apply` keeps a copy of the object in an annotation of this size
STOP_AFTER_TIMEOUT_S = 10  # batch in hand and worker, docs/architecture.md
SETTINGS: dict[str, type[BaseSettings]] = {BACKEND: ServerSettings, FRONTEND: PageSettings}


@pytest.fixture(params=BUILDS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Return each build."""
    return built(request.param)


def test_no_component_is_forgotten_here() -> None:
    there = {folder.name for folder in (KUBERNETES / "components").iterdir()}
    assert there == {"address", *COMPONENTS, *APART}
    assert {folder.name for folder in (KUBERNETES / "overlays").iterdir()} == set(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("component", [*COMPONENTS, *APART])
def test_each_component_builds_on_each_overlay(
    tmp_path: Path, overlay: str, component: str
) -> None:
    assert build_with(tmp_path, overlay, [component]).of("Deployment")


def test_every_object_fits_its_schema_strictly(manifests: Manifests) -> None:
    for one in manifests.objects:
        if one["kind"] not in NO_SCHEMA:
            kubernetes_validate.validate(one, "1.37.0", strict=True)
        assert len(json.dumps(one)) < LARGEST, one["metadata"]["name"]


def test_everything_is_in_one_namespace_under_the_strictest_pod_standard(
    manifests: Manifests,
) -> None:
    (namespace,) = manifests.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in manifests.objects:
        if one is not namespace:
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"]


def test_every_container_is_locked_down_and_limited(manifests: Manifests) -> None:
    for name, pod, container in manifests.deployments():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "it would set SIGHTLINE_*_PORT"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind]), name
        mounts = {one["mountPath"] for one in container["volumeMounts"]}
        assert "/tmp" in mounts
        assert {one["name"] for one in container["volumeMounts"]} == {
            one["name"] for one in pod["volumes"]
        }


def test_service_accounts_give_no_token(manifests: Manifests) -> None:
    for name, pod, _ in manifests.deployments():
        account = manifests.one("ServiceAccount", pod["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False, name


def test_selectors_find_their_pods_and_nothing_else(manifests: Manifests) -> None:
    for name, _, _ in manifests.deployments():
        spec = manifests.one("Deployment", name)["spec"]
        labels = spec["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "sightline"
        selector = {"app.kubernetes.io/name": name}
        assert spec["selector"]["matchLabels"] == selector
        assert manifests.one("Service", name)["spec"]["selector"] == selector
        assert selector.items() <= labels.items()
    for budget in manifests.of("PodDisruptionBudget"):
        matched = budget["spec"]["selector"]["matchLabels"]
        assert matched == {"app.kubernetes.io/name": budget["metadata"]["name"]}
        assert budget["spec"]["maxUnavailable"] == 1
    spread = manifests.pod(BACKEND)["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {
        *("kubernetes.io/hostname", "topology.kubernetes.io/zone"),
    }


def test_tritons_ports_and_user_are_those_of_its_image() -> None:
    text = (ROOT / "deploy" / "triton" / "Dockerfile").read_text()
    everything = built("everything")
    (exposed,) = re.findall(r"^EXPOSE (.+)$", text, re.M)
    ports = everything.container(TRITON)["ports"]
    assert exposed.split() == [str(one["containerPort"]) for one in ports]
    context = everything.pod(TRITON)["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in text


@pytest.mark.parametrize("part", ["backend", "frontend"])
def test_ports_and_user_are_those_of_the_image(manifests: Manifests, part: str) -> None:
    text = (ROOT / part / "Dockerfile").read_text()
    name = f"sightline-{part}"
    (port,) = manifests.container(name)["ports"]
    assert re.findall(r"^EXPOSE (\d+)$", text, re.M) == [str(port["containerPort"])]
    assert port["name"] == "http"
    context = manifests.pod(name)["securityContext"]
    user = f"{context['runAsUser']}:{context['runAsGroup']}"
    assert re.findall(r"^USER (\S+)$", text, re.M)[-1] == user
    (service,) = manifests.one("Service", name)["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (port["containerPort"], "http")


def test_the_port_in_the_settings_is_the_ports() -> None:
    settings = ServerSettings()
    base = build(KUBERNETES / "base")
    assert base.environment(BACKEND)["SIGHTLINE_PORT"] == str(settings.port)
    assert base.container(BACKEND)["ports"][0]["containerPort"] == settings.port
    pages = PageSettings(backend_url=base.environment(FRONTEND)["SIGHTLINE_BACKEND_URL"])
    assert pages.backend_url == f"http://{BACKEND}:{settings.port}"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_with_a_value_it_takes(
    manifests: Manifests, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = SETTINGS[name].model_fields
    for variable, value in manifests.environment(name).items():
        if variable == "HOME":
            continue
        assert variable.removeprefix("SIGHTLINE_").lower() in fields, variable
        if value:
            monkeypatch.setenv(variable, value)
    SETTINGS[name]()


def test_an_engine_gets_as_many_threads_as_the_pod_has_processors(manifests: Manifests) -> None:
    (threads,) = [
        one for one in manifests.container(BACKEND)["env"] if one["name"] == "SIGHTLINE_THREADS"
    ]
    field = threads["valueFrom"]["resourceFieldRef"]
    assert field == {"containerName": "backend", "resource": "requests.cpu", "divisor": "1"}
    assert int(manifests.container(BACKEND)["resources"]["requests"]["cpu"]) >= 1


def test_models_lie_where_the_settings_say(manifests: Manifests) -> None:
    (mount,) = [m for m in manifests.container(BACKEND)["volumeMounts"] if m["name"] == "models"]
    folder = manifests.environment(BACKEND)["SIGHTLINE_MODELS_DIR"]
    assert mount["mountPath"] == folder
    assert f"SIGHTLINE_MODELS_DIR={folder}" in (ROOT / "backend" / "Dockerfile").read_text()


def test_probes_ask_for_paths_that_are_there(manifests: Manifests) -> None:
    asked = {
        (name, kind): container[kind]["httpGet"]["path"]
        for name, _, container in manifests.deployments()
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked[BACKEND, "readinessProbe"] == "/health/ready"
    assert asked[BACKEND, "livenessProbe"] == "/health/live"
    for (name, _), path in asked.items():
        if name == BACKEND:
            assert path in served_paths()
        if name == FRONTEND:
            assert path in (ROOT / "frontend" / "Dockerfile").read_text()  # its HEALTHCHECK
        if name == TRITON:  # one model that was unloaded may make all of it unready
            assert path == "/v2/health/live"


def test_a_start_may_take_as_long_as_the_command_line_allows(manifests: Manifests) -> None:

    probe = manifests.container(BACKEND)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= START_LIMIT_S


def test_on_a_gpu_a_start_may_build_an_engine() -> None:
    probe = built("gpu").container(BACKEND)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 20 * 60
    compose = (ROOT / "deploy" / "compose" / "gpu.yml").read_text()
    assert "start_period: 20m" in compose


def test_a_stop_gets_all_the_time_it_needs(manifests: Manifests) -> None:
    settings = ServerSettings()
    told = float(manifests.environment(BACKEND)["SIGHTLINE_SHUTDOWN_TIMEOUT_S"])
    assert told == settings.shutdown_timeout_s
    drain = manifests.container(BACKEND)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = manifests.pod(BACKEND)["terminationGracePeriodSeconds"]
    assert grace > drain + told + STOP_AFTER_TIMEOUT_S


def test_images_have_the_version_and_no_registry(manifests: Manifests) -> None:
    for name, _, container in manifests.deployments():
        image, _, tag = container["image"].rpartition(":")
        assert image in (name, f"{name}-gpu")
        assert tag == VERSION


def test_the_gpu_overlay_asks_for_a_gpu_and_the_other_for_none() -> None:
    cpu = built("cpu")
    everything = built("everything")
    assert "nvidia" not in json.dumps(cpu.objects)
    for name in (BACKEND, TRITON):
        assert everything.container(name)["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert {one["key"] for one in everything.pod(name)["tolerations"]} == {"nvidia.com/gpu"}
    assert everything.container(BACKEND)["image"].startswith("sightline-backend-gpu:")
    assert everything.environment(BACKEND)["SIGHTLINE_DEVICE"] == "cuda"
    rolling = everything.one("Deployment", BACKEND)["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 1, "maxSurge": 0}  # no GPU to spare


def test_one_folder_of_models_for_all_pods_is_writable_by_several() -> None:
    everything = built("everything")
    (volume,) = [v for v in everything.pod(BACKEND)["volumes"] if v["name"] == "models"]
    assert volume == {"name": "models", "persistentVolumeClaim": {"claimName": "sightline-models"}}
    claim = everything.one("PersistentVolumeClaim", "sightline-models")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_where_jobs_run_there_is_one_pod_with_a_volume_and_memory(tmp_path: Path) -> None:
    with_jobs = build_with(tmp_path, "cpu", ["jobs"])
    deployment = with_jobs.one("Deployment", BACKEND)
    for one in with_jobs.objects:
        if one["kind"] not in NO_SCHEMA:
            kubernetes_validate.validate(one, "1.37.0", strict=True)
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in with_jobs.of("HorizontalPodAutoscaler")
    }
    assert scaled == {FRONTEND}
    claim = with_jobs.one("PersistentVolumeClaim", "sightline-models")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    (models,) = [one for one in with_jobs.pod(BACKEND)["volumes"] if one["name"] == "models"]
    assert models == {"name": "models", "persistentVolumeClaim": {"claimName": "sightline-models"}}
    limits = with_jobs.container(BACKEND)["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == ("4", "8Gi")


def test_triton_reads_what_the_backend_deploys_and_both_are_one_user() -> None:
    everything = built("everything")
    folder = everything.environment(BACKEND)["SIGHTLINE_TRITON_REPOSITORY"]
    mounts = {
        name: one
        for name in (BACKEND, TRITON)
        for one in everything.container(name)["volumeMounts"]
        if one["mountPath"] in (folder, "/models")
    }
    assert not mounts[BACKEND].get("readOnly")
    assert mounts[TRITON]["readOnly"] is True
    for name, mount in mounts.items():
        (volume,) = [v for v in everything.pod(name)["volumes"] if v["name"] == mount["name"]]
        assert volume["persistentVolumeClaim"]["claimName"] == "sightline-triton-models"
    claim = everything.one("PersistentVolumeClaim", "sightline-triton-models")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]  # they may be on two nodes
    users = {everything.pod(name)["securityContext"]["runAsUser"] for name in mounts}
    assert users == {everything.pod(BACKEND)["securityContext"]["fsGroup"]}


def test_the_backend_asks_triton_at_its_service_and_nobody_outside_does() -> None:
    everything = built("everything")
    service = everything.one("Service", TRITON)["spec"]
    assert service.get("type", "ClusterIP") == "ClusterIP"
    ports = {one["name"]: one["port"] for one in service["ports"]}
    asked = everything.environment(BACKEND)
    assert asked["SIGHTLINE_TRITON_GRPC_URL"] == f"{TRITON}:{ports['grpc']}"
    assert asked["SIGHTLINE_TRITON_HTTP_URL"] == f"{TRITON}:{ports['http']}"
    assert asked["SIGHTLINE_TRITON_METRICS_URL"] == f"http://{TRITON}:{ports['metrics']}/metrics"
    assert TRITON not in json.dumps(everything.of("Ingress"))
    assert "hostPort" not in json.dumps(everything.container(TRITON))


def test_data_sets_are_read_and_never_written() -> None:
    everything = built("everything")
    folder = everything.environment(BACKEND)["SIGHTLINE_DATA_DIR"]
    (mount,) = [m for m in everything.container(BACKEND)["volumeMounts"] if m["name"] == "data"]
    assert mount == {"name": "data", "mountPath": folder, "readOnly": True}
    (volume,) = [v for v in everything.pod(BACKEND)["volumes"] if v["name"] == "data"]
    assert volume["persistentVolumeClaim"] == {"claimName": "sightline-data", "readOnly": True}
    assert f"SIGHTLINE_DATA_DIR: {folder}\n" in (ROOT / "deploy/compose/data.yml").read_text()


@pytest.mark.parametrize(
    ("part", "variable", "secret"),
    [
        (BACKEND, "SIGHTLINE_DATABASE_URL", "sightline-database"),
        (BACKEND, "SIGHTLINE_ADMIN_TOKEN", "sightline-admin"),
        (FRONTEND, "SIGHTLINE_ADMIN_TOKEN", "sightline-admin"),
    ],
)
def test_passwords_are_named_and_not_contained(part: str, variable: str, secret: str) -> None:
    (one,) = [e for e in built("everything").container(part)["env"] if e["name"] == variable]
    assert one["valueFrom"] == {"secretKeyRef": {"name": secret, "key": variable}}
    assert not built("everything").of("Secret")
    assert (
        f"create secret generic {secret} --from-literal={variable}="
        in (KUBERNETES / "README.md").read_text()
    )


def test_the_secret_of_turn_is_named_and_not_contained() -> None:
    everything = built("everything")
    (variable,) = [
        one
        for one in everything.container(FRONTEND)["env"]
        if one["name"] == "SIGHTLINE_ICE_SERVERS"
    ]
    assert variable["valueFrom"] == {
        "secretKeyRef": {"name": "sightline-ice-servers", "key": "SIGHTLINE_ICE_SERVERS"}
    }
    assert not everything.of("Secret")
