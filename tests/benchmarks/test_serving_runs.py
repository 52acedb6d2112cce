"""The serving benchmark against the real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.serving.__main__ import main


@pytest.mark.slow
def test_a_quick_run_measures_what_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick", "--only", "M1,M7", "--out", str(tmp_path)]) == 0
    data = json.loads((tmp_path / "serving.json").read_text())
    assert set(data) == {"M1", "M7", "guard_wrong_stream", "context"}
    assert data["guard_wrong_stream"]["value"] == 0
    assert data["M7"]["ok"]
    assert data["context"]["engine"]["engine"]
    assert "| M1 |" in capsys.readouterr().out


def test_a_model_that_isn_t_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick", "--model", "no-such-model", "--out", str(tmp_path)]) == 1
    assert "no-such-model" in capsys.readouterr().err


def test_a_figure_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "M5"])
    assert "known are M1" in capsys.readouterr().err
