"""`sightline models`: what is here, added, shown and removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from sightline_backend.cli.console import stdout
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


def test_a_narrow_terminal_cuts_descriptions_and_no_names_paths_or_hashes(
    run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-model-that-has-a-name-of-quite-some-length"
    run("models", "add", mine, "--name", name)
    run("models", "describe", name, "it watches the yard " * 20)
    monkeypatch.setattr(stdout, "width", 80)
    listed = run("models", "list").stdout
    assert len(listed.splitlines()) < 20
    assert "sightline-webcam " in listed
    assert name[:40] in listed
    assert name[40:] in listed, "folded, not cut"
    shown = run("models", "show", name).stdout
    sha256 = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert sha256 in "".join(line.strip() for line in shown.splitlines())
    assert "…" not in shown


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
        (["remove"], "Name a model"),
        (["remove", "sightline-webcam:one"], "give its number"),
        (["remove", "--artefact", "99"], "no artefact 99"),
        (["rename", "no-such", "other"], "no-such"),
        (["describe", "no-such", "what"], "no-such"),
        (["download", "99"], "no artefact 99"),
        (["scan", "nowhere"], "no folder"),
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
    (stored,) = models_folder.glob("files/*/*.onnx")
    stored.write_bytes(b"damaged")
    assert "damaged or was swapped" in run("models", "list").stdout


def test_a_model_of_an_older_release_is_taken_over(
    run: Run, mine: Path, models_folder: Path
) -> None:
    for name in ("old", "broken"):
        (models_folder / name).mkdir(parents=True)
        shutil.copy(mine, models_folder / name / f"{name}.onnx")
    (models_folder / "broken" / "broken.onnx").write_bytes(b"damaged")
    listed = run("models", "list").stdout
    assert "old " in listed
    assert "not a readable ONNX file" in listed
    assert not (models_folder / "old").exists()
    assert run("models", "remove", "broken").exit_code == 0
    assert "broken" not in run("models", "list").stdout


def test_versions_are_added_shown_and_removed(run: Run, mine: Path) -> None:
    run("models", "add", mine, "--name", "my-own", "--licence", "MIT", "--source", "the lab")
    added = run("models", "add", mine, "--version-of", "my-own", "--licence", "BSD-3-Clause")
    assert "version 2, which serves once it is promoted" in added.stderr
    shown = json.loads(run("models", "show", "my-own", "--json").stdout)
    assert [(v["number"], v["licence"]) for v in shown["versions"]] == [
        (1, "MIT"),
        (2, "BSD-3-Clause"),
    ]
    assert shown["active"]["version"] == 1
    said = run("models", "show", "my-own").stdout
    assert "the lab" in said
    assert "serves" in said
    number = shown["versions"][1]["artefacts"][0]["id"]
    assert run("models", "remove", "my-own:1").exit_code == 1
    assert run("models", "remove", "--artefact", str(number)).exit_code == 0
    assert run("models", "remove", "my-own:2").exit_code == 1
    listed = json.loads(run("models", "list", "--json").stdout)
    assert [(m["name"], m["versions"]) for m in listed["models"]][1] == ("my-own", 1)


def test_a_model_is_renamed_described_and_written_out(run: Run, mine: Path, tmp_path: Path) -> None:
    run("models", "add", mine)
    assert run("models", "rename", "mine", "yours").exit_code == 0
    assert run("models", "describe", "yours", "for the yard").exit_code == 0
    assert "for the yard" in run("models", "list").stdout
    shown = json.loads(run("models", "show", "yours", "--json").stdout)
    number = str(shown["versions"][0]["artefacts"][0]["id"])
    target = tmp_path / "out.onnx"
    assert run("models", "download", number, "-o", target).exit_code == 0
    assert target.read_bytes() == mine.read_bytes()
    assert run("models", "download", number, "-o", target).exit_code == 1  # never overwritten
    assert run("models", "download", number, "-o", tmp_path).exit_code == 0
    assert (tmp_path / "yours-v1-fp32.onnx").is_file()


def test_a_checkpoint_is_taken_only_if_that_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    path.write_bytes(b"a pickle")
    refused = run("models", "add", path)
    assert refused.exit_code == 1
    assert "SIGHTLINE_ALLOW_PICKLE" in refused.stderr
    assert run("models", "add", path, "--allow-pickle").exit_code == 0
    assert "convert its checkpoint" in run("models", "list").stdout
    assert "best.pt" in run("models", "show", "best").stdout


def test_a_folder_is_scanned(run: Run, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"no model")
    scanned = run("models", "scan", tmp_path)
    assert scanned.exit_code == 1
    assert "mine: added" in scanned.stdout
    assert "text.onnx is not a readable ONNX file" in scanned.stdout
    assert "1 added, 0 missing, 1 broken, 0 deleted." in scanned.stderr
    mended = run("models", "scan")
    assert mended.exit_code == 0
    assert "0 added" in mended.stderr
