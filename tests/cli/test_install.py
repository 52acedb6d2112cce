"""The installer's own decisions; that it installs is shown by every run of `make`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PINS = (
    "requirements.txt",
    "requirements-gpu.txt",
    "requirements-dev.txt",
    "requirements-tools.txt",
)


@pytest.mark.parametrize("name", PINS)
def test_every_pin_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.findall(r"^[a-z0-9].*==.*\\$", text, re.MULTILINE)
    assert entries
    lines = [line for line in text.splitlines() if line and line[0] not in "# "]
    assert len(entries) == len(lines), "an entry without a version or without hashes"
    assert not re.search(r"https?:|file:|--index|--find-links|/home/|/root/", text)


def test_the_gpu_pins_take_the_gpu_runtime_instead_of_the_other() -> None:
    gpu, cpu = ((ROOT / name).read_text() for name in ("requirements-gpu.txt", "requirements.txt"))
    assert "\nonnxruntime-gpu==" in gpu
    assert "\nonnxruntime==" not in gpu
    assert "\nonnxruntime==" in cpu
    assert "torch==" not in gpu + cpu


def test_the_installer_starts_on_any_python_3() -> None:
    code = (ROOT / "scripts" / "install.py").read_text()
    compile(code, "install.py", "exec", dont_inherit=True)
    assert not re.search(r"^\s*match |:=| \| None|^from __future__", code, re.MULTILINE)


def test_an_occupied_venv_folder_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in (*PINS, "scripts/install.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for member in ("engines", "monitoring", "backend", "frontend"):
        (tmp_path / member).mkdir()
        (tmp_path / member / "pyproject.toml").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "mine.txt").write_text("precious")
    command = [sys.executable, str(tmp_path / "scripts" / "install.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no virtual environment" in done.stderr
    assert (tmp_path / ".venv" / "mine.txt").read_text() == "precious"
