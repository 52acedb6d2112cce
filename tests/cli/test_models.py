"""`sightline models`: what is here, added, shown and removed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from sightline_backend.models import catalogue
from sightline_backend.models.catalogue import CatalogueModel
from sightline_engines.assets import shipped_model
from tests.cli.conftest import Run
from tests.models import file_server
from tests.models.file_server import Script, serving


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return somebody's own ONNX file."""
    return Path(shutil.copy(shipped_model(), tmp_path / "mine.onnx"))


def test_the_list_names_what_is_here_and_what_can_be_fetched(run: Run) -> None:
    said = run("models", "list").stdout
    assert "sightline-webcam" in said
    assert "yolox-nano" in said
    assert "Apache-2.0" in said
    assert "3.7 MB to pull" in said


def test_an_added_model_is_listed_shown_used_and_removed(run: Run, mine: Path) -> None:
    added = run("models", "add", mine, "--name", "my-own")
    assert added.exit_code == 0
    assert "my-own is ready" in added.stderr
    assert "my-own" in run("models", "list").stdout
    shown = run("models", "show", "my-own").stdout
    assert "sha256" in shown
    assert "letterbox" in shown
    assert run("models", "remove", "my-own").exit_code == 0
    assert "my-own" not in run("models", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "nowhere.onnx"], "nowhere.onnx"),
        (["add", __file__], "not an ONNX file"),
        (["show", "no-such"], "sightline-webcam"),
        (["remove", "no-such"], "no-such"),
        (["remove", "sightline-webcam"], "ships with Sightline"),
        (["pull", "no-such"], "yolox-nano, yolox-tiny, yolox-s"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_1(run: Run, arguments: list[str], said: str) -> None:
    result = run("models", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stdout == ""


def test_a_pulled_model_is_there_with_its_licence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = shipped_model().read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with serving(Script(content, [file_server.whole])) as url:
        entry = CatalogueModel("tested", "", "MIT", url, len(content), digest)
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
        pulled = run("models", "pull", "tested")
    assert pulled.exit_code == 0
    assert "licence MIT" in pulled.stderr
    assert digest in run("models", "show", "tested").stdout


def test_a_pull_of_another_file_names_both_hashes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = shipped_model().read_bytes()
    with serving(Script(content, [file_server.whole])) as url:
        entry = CatalogueModel("tested", "", "MIT", url, len(content), "0" * 64)
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
        refused = run("models", "pull", "tested")
    assert refused.exit_code == 1
    assert "0" * 64 in refused.stderr
    assert hashlib.sha256(content).hexdigest() in refused.stderr
    assert run("models", "show", "tested").exit_code == 1


def test_a_damaged_model_is_listed_with_what_is_wrong(
    run: Run, mine: Path, models_folder: Path
) -> None:
    run("models", "add", mine)
    (models_folder / "mine" / "mine.onnx").write_bytes(b"damaged")
    assert "not a readable ONNX file" in run("models", "list").stdout
