"""The Benchmark page: a data set, a matrix, its bars, its plots, its files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.workshop_page import LONG_MS, WorkshopPage, dozen

pytestmark = pytest.mark.browser

SHIPPED = "sightline-webcam"


def test_accuracy_and_speed_are_measured_drawn_and_exported(
    page: Page, workshop: Site, shared_data: Path, tmp_path: Path
) -> None:
    bench = WorkshopPage(page, workshop, "benchmark")
    bench.says("Nothing is measured yet")
    _upload(bench, dozen(shared_data, tmp_path / "people.zip"))

    page.get_by_role("slider").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    bench.settled()
    bench.says("2 cells at most")
    bench.press("start-benchmark")
    bench.says("It has started")
    expect(bench.named("jobs").get_by_role("progressbar").first).to_be_visible(timeout=LONG_MS)
    expect(bench.named("jobs").get_by_role("progressbar")).to_have_count(0, timeout=4 * LONG_MS)

    (run,) = bench.ask("/api/benchmark/runs")
    done = [one for one in run["cells"] if one["state"] == "done"]
    assert len(done) == 2
    assert {one["accuracy"]["pictures"] for one in done} == {12}
    verdict = re.compile("Recommended|Nothing fits")  # a busy machine may keep no limit
    expect(bench.named("recommendation")).to_contain_text(verdict, timeout=LONG_MS)
    charts = page.locator('[data-testid="stVegaLiteChart"]')
    expect(charts).to_have_count(4, timeout=LONG_MS)
    for number in range(4):
        chart = charts.nth(number)
        chart.scroll_into_view_if_needed()
        expect(chart.locator("canvas, svg").first).to_be_visible(timeout=LONG_MS)
    bench.fine()
    _exported(bench, tmp_path, cells=2)


def _upload(bench: WorkshopPage, packed: Path) -> None:
    bench.press("add-data")
    bench.page.locator('[data-testid="stPopoverBody"] input[type="file"]').set_input_files(packed)
    bench.press("data-send")
    bench.says("The data set people is here")
    bench.page.keyboard.press("Escape")
    box = bench.named("run-data").get_by_role("combobox")
    expect(box).to_have_value(re.compile(r"people \(12 pictures"), timeout=LONG_MS)


def _exported(bench: WorkshopPage, folder: Path, cells: int) -> None:
    rows = list(csv.DictReader(bench.download("export-csv", folder).read_text().splitlines()))
    assert len(rows) == cells
    assert json.loads(bench.download("export-json", folder).read_text())
    book = load_workbook(bench.download("export-xlsx", folder))
    assert book.sheetnames


def test_a_run_is_cancelled_and_its_bar_goes(page: Page, workshop: Site) -> None:
    bench = WorkshopPage(page, workshop, "benchmark")
    if not bench.named("start-pipeline").is_visible():
        bench.named("new-run").locator("summary").click()
    bench.press("start-pipeline")
    cancel = bench.named("jobs").get_by_role("button", name="Cancel")
    cancel.click(timeout=LONG_MS)
    expect(cancel).to_have_count(0, timeout=LONG_MS)
    newest = bench.ask("/api/jobs?kind=pipeline")[0]
    assert newest["state"] == "cancelled"
    bench.fine()
