"""The operations guide names what is there, and its commands find what they look for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from sightline_backend.settings import Settings as ServerSettings
from sightline_frontend.settings import Settings as PageSettings
from sightline_monitoring.metrics import Metrics
from tests.conftest import ROOT

GUIDE = (ROOT / "docs" / "operations.md").read_text()
CLUSTER_GUIDE = (ROOT / "deploy" / "kubernetes" / "README.md").read_text()
COMPOSE = sorted([ROOT / "docker-compose.yml", *(ROOT / "deploy" / "compose").glob("*.yml")])
GREPS = re.findall(r"/metrics \\\| grep (?:-E )?'?(\^[^`']+)'?`", GUIDE)


@pytest.mark.parametrize("text", [GUIDE, CLUSTER_GUIDE], ids=["compose", "kubernetes"])
def test_every_variable_it_names_is_read_by_somebody(text: str) -> None:
    fields = {*ServerSettings.model_fields, *PageSettings.model_fields}
    compose = "".join(file.read_text() for file in COMPOSE)
    for name in set(re.findall(r"\b(?:SIGHTLINE|PROMETHEUS|[A-Z]+)_[A-Z_]*[A-Z]\b", text)):
        known = name.removeprefix("SIGHTLINE_").lower() in fields or f"${{{name}" in compose
        assert known or name in ("COMPOSE_FILE",), name


@pytest.mark.parametrize("pattern", GREPS)
def test_every_grep_for_metrics_finds_some(pattern: str) -> None:
    metrics = generate_latest(Metrics().registry).decode()
    pattern = pattern.replace("\\|", "|")
    found = subprocess.run(
        ["grep", "-cE", pattern], input=metrics, capture_output=True, text=True, check=False
    )
    alternatives = 1 + pattern.count("|")
    if "engine)_memory" in pattern:  # an engine's own is there once one runs
        alternatives = 1
    assert int(found.stdout) >= alternatives, pattern


def test_it_greps_for_metrics_at_all() -> None:
    assert len(GREPS) >= 5


def test_backup_and_restore_name_every_volume_that_holds_anything() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    made_anew = {"alertmanager-config"}
    loops = re.findall(r"for volume in (.+); do", GUIDE)
    assert len(loops) == 2
    for loop in loops:
        assert set(loop.split()) == set(compose["volumes"]) - made_anew
    assert compose["name"] == "sightline"  # the volumes' prefix


def test_a_folder_comes_back_from_its_backup_as_it_was(tmp_path: Path) -> None:
    (packing,) = re.findall(r"--numeric-owner (-C /from -czf \S+ \.)", GUIDE)
    (unpacking,) = re.findall(r"(find /to .+?)\"", GUIDE)
    start, backup, end = (tmp_path / name for name in ("from", "backup", "to"))
    for folder in (start / "my", backup, end):
        folder.mkdir(parents=True)
    (start / "my" / "my.onnx").write_bytes(b"model")
    (start / "my" / "my.onnx").chmod(0o640)
    (end / "junk").write_text("of another day")
    packed = packing.replace("/from", str(start)).replace('"/to/', f'"{backup}/')
    unpacked = unpacking.replace("/from", str(backup)).replace("/to", str(end))
    command = f"volume=models; tar --numeric-owner {packed} && {unpacked}"
    subprocess.run(["sh", "-ec", command], check=True)
    assert sorted(path.name for path in end.rglob("*")) == ["my", "my.onnx"]
    assert (end / "my" / "my.onnx").read_bytes() == b"model"
    assert (end / "my" / "my.onnx").stat().st_mode & 0o777 == 0o640
