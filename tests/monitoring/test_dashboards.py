"""The committed dashboards: made by the code, whole, and fit to be read."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from sightline_backend.app import create_app
from sightline_backend.settings import Settings
from sightline_dashboards.__main__ import main, written
from sightline_dashboards.objectives import BURN, OBJECTIVES
from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.memory_limit import MemoryLimitCollector
from tests.conftest import ROOT
from tests.monitoring.grafana import FOLDER, View, dashboards, panels, questions
from tests.monitoring.prometheus_server import CONFIG, rule_files

PROVISIONING = ROOT / "monitoring" / "grafana" / "provisioning"
BOARDS = dashboards()
COLUMNS = 24
COLUMN_PX = 1380 / COLUMNS  # of a window of 1440, without the menu
LETTER_PX = 7.5
PANELS = [(uid, panel) for uid, board in BOARDS.items() for panel in panels(board)]
every_panel = pytest.mark.parametrize(
    ("uid", "panel"), PANELS, ids=[f"{uid}-{panel['title']}" for uid, panel in PANELS]
)
# Of Prometheus itself, of Triton, and of HTTP once there was a request.
FROM_ELSEWHERE = {
    *("up", "scrape_duration_seconds", "ALERTS", "ALERTS_FOR_STATE"),
    *("prometheus_tsdb_head_series", "prometheus_tsdb_storage_blocks_bytes"),
    "prometheus_tsdb_wal_storage_size_bytes",
    *("http_requests_total", "http_request_duration_seconds_bucket"),
    *("nv_inference_request_success", "nv_inference_request_failure"),
    *("nv_inference_pending_request_count", "nv_inference_request_summary_us"),
    *("nv_inference_count", "nv_inference_exec_count"),
    *(f"nv_inference_{name}_duration_us" for name in ("request", "queue")),
    *(f"nv_inference_compute_{name}_duration_us" for name in ("input", "infer", "output")),
    *("nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"),
    *("nv_gpu_power_usage", "nv_gpu_power_limit"),
}
METRIC = re.compile(r"[A-Za-z_:][\w:]*(?=\{|\)$)")  # name{...}, or a name alone: max (name)


def test_the_committed_files_are_those_that_the_code_makes(tmp_path: Path) -> None:
    main([str(tmp_path)])
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    committed = {file.name: file.read_text() for file in FOLDER.iterdir()}
    assert made == written()
    assert committed == made, "run `make dashboards`, and commit what it writes"


def test_a_dashboard_that_is_no_longer_made_is_removed(tmp_path: Path) -> None:
    old, foreign = tmp_path / "sightline-old.json", tmp_path / "mine.json"
    old.write_text("{}")
    foreign.write_text("{}")
    main([str(tmp_path)])
    assert not old.exists()
    assert foreign.exists()


def test_the_five_dashboards_have_their_addresses() -> None:
    assert {uid: board["title"] for uid, board in BOARDS.items()} == {
        "sightline-live": "Sightline · Live",
        "sightline-models": "Sightline · Models",
        "sightline-objectives": "Sightline · Objectives",
        "sightline-resources": "Sightline · Resources",
        "sightline-triton": "Sightline · Triton",
    }


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_sdk_reads_a_dashboard_and_writes_the_same(board: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    for link in again["links"]:
        del link["placement"]
    assert again == board


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_have_numbers_of_their_own_and_lie_beside_each_other(board: dict[str, Any]) -> None:
    everything = board["panels"]
    numbers = [panel["id"] for panel in everything]
    assert len(set(numbers)) == len(numbers)
    titles = [panel["title"] for panel in everything]
    assert len(set(titles)) == len(titles)
    cells: set[tuple[int, int]] = set()
    for panel in everything:
        own = set(_cells(panel["gridPos"]))
        assert not own & cells, f"{panel['title']} lies on another panel"
        assert max(x for x, _ in own) < COLUMNS, f"{panel['title']} is off the page"
        cells |= own


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_no_line_of_panels_leaves_a_gap(board: dict[str, Any]) -> None:
    rows = {panel["gridPos"]["y"] for panel in board["panels"]}
    widths = {
        y: [p["gridPos"]["w"] for p in board["panels"] if p["gridPos"]["y"] == y] for y in rows
    }
    assert {y: sum(width) for y, width in widths.items()} == dict.fromkeys(rows, COLUMNS)


@every_panel
def test_a_panel_says_what_it_shows_and_what_to_do(uid: str, panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert len(panel["title"]) * LETTER_PX < panel["gridPos"]["w"] * COLUMN_PX - 40
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["noValue"]


@every_panel
def test_a_panel_asks_the_chosen_data_source(uid: str, panel: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == source
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)
    for target in panel["targets"]:
        assert target["datasource"] == source
        assert target["instant"] != target["range"]
        assert "[$__rate_interval]" in target["expr"] or "rate(" not in target["expr"]


@every_panel
def test_a_panels_overrides_fit_its_queries(uid: str, panel: dict[str, Any]) -> None:
    letters = {target["refId"] for target in panel["targets"]}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] == "byFrameRefID":
            assert override["matcher"]["options"] in letters


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_no_query_asks_for_what_nobody_tells(board: dict[str, Any]) -> None:
    known = {*_exported(), *_recorded(), *FROM_ELSEWHERE}
    for question in questions(board, View(3600, 5)):
        metrics = set(METRIC.findall(question.expr))
        assert metrics, question
        assert metrics <= known, question


def test_the_burn_lines_are_where_the_alerts_begin() -> None:
    begin = re.compile(r"(instance\w*:\w+:ratio_[a-z]+)\d+\w > ([\d.]+) \* ([\d.]+)")
    exprs = [rule["expr"] for rule in _rules() if "alert" in rule]
    alerts = {found for expr in exprs for found in begin.findall(expr)}
    assert {(name, float(burn), float(share)) for name, burn, share in alerts} == {
        (one.recorded, burn, float(one.allowed)) for one in OBJECTIVES for burn in BURN
    }


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_dashboards_share_variables_marks_and_links(board: dict[str, Any]) -> None:
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "page"]
    assert variables["datasource"]["current"]["value"] == "prometheus"
    assert variables["instance"]["multi"]
    assert variables["instance"]["includeAll"]
    assert variables["page"]["current"]["value"] == "http://localhost:8501"
    assert variables["page"]["hide"] == 2
    assert [one["name"] for one in board["annotations"]["list"]] == ["Model changes", "Starts"]
    others, *pages = board["links"]
    assert others["tags"] == board["tags"] == ["sightline"]
    assert [one["url"] for one in pages] == ["${page}/live", "${page}/monitor"]
    assert board["schemaVersion"] >= 41  # Grafana 12


def test_grafana_is_given_the_sources_and_the_folder() -> None:
    (file,) = (PROVISIONING / "datasources").iterdir()
    sources = {one["uid"]: one for one in yaml.safe_load(file.read_text())["datasources"]}
    assert sources["prometheus"]["url"] == "http://prometheus:9090"
    assert sources["alertmanager"]["url"] == "http://alertmanager:9093"
    assert sources["prometheus"]["isDefault"]
    jobs = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    (every,) = [job["scrape_interval"] for job in jobs if job["job_name"] == "sightline"]
    assert sources["prometheus"]["jsonData"]["timeInterval"] == every
    (file,) = (PROVISIONING / "dashboards").iterdir()
    (provider,) = yaml.safe_load(file.read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


@pytest.mark.parametrize(
    ("expr", "step_s", "filled"),
    [
        ("", 5.0, ""),
        ("a[$__rate_interval]", 5.0, "a[20000ms]"),
        ("a[$__rate_interval]", 60.0, "a[65000ms]"),
        ("a[${__range}] offset $__interval", 60.0, "a[3600000ms] offset 60000ms"),
        ('a{b=~"$instance"}', 5.0, 'a{b=~".*"}'),
    ],
)
def test_variables_are_filled_in_as_grafana_does(expr: str, step_s: float, filled: str) -> None:
    assert View(3600, 5).filled(expr, step_s, {"instance": ".*"}) == filled


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    across = range(place["x"], place["x"] + place["w"])
    return itertools.product(across, range(place["y"], place["y"] + place["h"]))


def _exported() -> set[str]:
    """Return the series that a server can have, with the suffixes of counters and histograms."""
    metrics = create_app(Settings()).state.service.telemetry.metrics
    metrics.triton.watched(live=True, ready=1, unavailable=0)
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    elsewhere = [*GpuCollector().describe(), *MemoryLimitCollector().describe()]
    families = [*metrics.registry.collect(), *elsewhere]
    return {one.name + suffix for one in families for suffix in suffixes[one.type]}


def _recorded() -> set[str]:
    return {rule["record"] for rule in _rules() if "record" in rule}


def _rules() -> list[dict[str, Any]]:
    books = [yaml.safe_load(file.read_text()) for file in rule_files()]
    return [rule for book in books for group in book["groups"] for rule in group["rules"]]
