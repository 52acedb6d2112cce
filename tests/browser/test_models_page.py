"""A model's way through the Models page: upload, convert, promote, roll back, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.workshop_page import LONG_MS, WorkshopPage

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def active(models: WorkshopPage) -> dict[str, Any]:
    """What serves under the uploaded model's name."""
    found: dict[str, Any] = models.ask("/api/models/nano")["active"]
    return found


def test_a_model_is_uploaded_converted_promoted_and_rolled_back(
    page: Page, workshop: Site, shared_data: Path, tmp_path: Path
) -> None:
    models = WorkshopPage(page, workshop, "models")
    weights = shared_data / "weights" / "yolox_nano.onnx"
    _upload(models, weights)
    (first,) = models.ask("/api/models/nano")["versions"][0]["artefacts"]
    assert first["size_bytes"] == weights.stat().st_size

    models.tick("convert-nano-0-openvino-fp16")
    models.press("convert-start")
    models.says("The conversion has started")
    expect(models.named("jobs").get_by_role("progressbar").first).to_be_visible(timeout=LONG_MS)
    models.says("Earlier jobs", within_ms=4 * LONG_MS)
    second = models.ask("/api/models/nano")["versions"][0]["artefacts"][1]
    assert (second["format"], second["precision"]) == ("openvino", "fp16")
    assert second["parity"]["agreeing"] > 0.9

    _promote(models, first["id"], second["id"])
    _keep_what_serves(models, second["id"], tmp_path)
    models.tab("Put into service")
    models.press("roll-back")
    models.says("serves again")
    assert active(models)["artefact_id"] == first["id"]
    models.fine()


def _promote(models: WorkshopPage, old: int, new: int) -> None:
    """Promote a file that nobody has measured: refused, until it is wanted all the same."""
    models.tab("Put into service")
    models.choose("promote-nano", "v1 · OpenVINO · fp16")
    models.press("promote-start")
    models.says("Nobody has measured")
    assert active(models)["artefact_id"] == old
    models.tick("promote-force-nano")
    models.page.get_by_label("Reason", exact=True).fill("It halves the memory")
    models.press("promote-start")
    models.says("serves now")
    assert active(models)["artefact_id"] == new
    (promotion,) = models.ask("/api/models/nano")["promotions"]
    assert (promotion["forced"], promotion["reason"]) == (True, "It halves the memory")
    (served,) = [one for one in models.ask("/api/serving") if one["model"] == "nano"]
    assert (served["format"], served["engine"]) == ("openvino", "openvino")


def _keep_what_serves(models: WorkshopPage, number: int, folder: Path) -> None:
    """What serves is not deleted, and can be downloaded."""
    models.tab("Files")
    models.choose("files-nano", f"v1 · OpenVINO · fp16 · file {number}")
    models.press("ask-artefact")
    models.press("delete-artefact")
    expect(models.page.get_by_role("alert").first).to_be_visible(timeout=LONG_MS)
    assert len(models.ask("/api/models/nano")["versions"][0]["artefacts"]) == 2
    models.page.keyboard.press("Escape")
    assert models.download("files-download", folder).read_bytes()[:2] == b"PK"


def _upload(models: WorkshopPage, path: Path) -> None:
    page = models.page
    models.named("add-model").locator("summary").click()
    models.named("add-model").locator('input[type="file"]').first.set_input_files(path)
    name = models.named("add-model").get_by_label("Name")
    expect(name).to_have_value("yolox_nano", timeout=LONG_MS)
    name.fill("nano")
    page.keyboard.press("Tab")
    models.settled()
    models.press("upload-send")
    models.says("is here as nano, version 1")
    expect(models.named("models-chosen").get_by_role("combobox")).to_have_value("nano")


def test_words_that_are_typed_stay_while_bars_move(page: Page, workshop: Site) -> None:
    models = WorkshopPage(page, workshop, "models")
    models.tab("Name and description")
    box = page.get_by_label("Description", exact=True).last
    box.fill("Finds people in the yard")
    page.wait_for_timeout(3_500)
    expect(box).to_have_value("Finds people in the yard")
    expect(box).to_be_focused()


@pytest.mark.parametrize("suffix", ["onnx", "pt"])
def test_what_is_no_model_is_refused_with_a_sentence(
    page: Page, workshop: Site, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"odd.{suffix}"
    if suffix == "onnx":
        onnx.save(onnx.ModelProto(ir_version=10), path)
    else:
        path.write_bytes(b"\x80\x02}q\x00.")
    models = WorkshopPage(page, workshop, "models")
    models.named("add-model").locator("summary").click()
    models.named("add-model").locator('input[type="file"]').first.set_input_files(path)
    models.press("upload-send")
    alert = models.named("add-model").get_by_role("alert")
    expect(alert).to_be_visible(timeout=LONG_MS)
    assert alert.inner_text().strip().endswith((".", "?"))
    assert "odd" not in {one["name"] for one in models.ask("/api/models")}
    models.fine()


@pytest.mark.parametrize(
    ("size", "scheme"), [(None, "dark"), (PHONE, "light")], ids=["desktop, dark", "phone, light"]
)
@pytest.mark.parametrize("path", ["models", "benchmark"])
def test_the_page_fits(page: Page, workshop: Site, path: str, size: Any, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    if size is not None:
        page.set_viewport_size(size)
    WorkshopPage(page, workshop, path).fine()
