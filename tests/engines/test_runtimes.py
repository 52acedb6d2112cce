"""The libraries that run models tell nobody what runs here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sightline_engines.assets import shipped_model

LOADS = """
import sys
from pathlib import Path
from sightline_engines.load import load_engine
from sightline_engines.recognise import recognise
load_engine(recognise(Path(sys.argv[1])), sys.argv[2], device="cpu").close()
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "auto"])
def test_an_engine_leaves_no_events_to_be_sent(tmp_path: Path, engine: str) -> None:
    """Both libraries keep an id or a database in the home folder once they mean to send."""
    environment = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", LOADS, str(shipped_model()), engine]
    subprocess.run(command, env=environment, check=True, timeout=120)
    assert list(tmp_path.rglob("*")) == []
