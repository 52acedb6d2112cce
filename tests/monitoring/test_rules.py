"""The committed rules: promtool's word on them, their tests, their words and their pages."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.memory_limit import MemoryLimitCollector
from tests.backend.running import running
from tests.conftest import ROOT, missing
from tests.monitoring.prometheus_server import CONFIG, rule_files

TESTS = Path(__file__).parent / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
SEVERITIES = {"page", "ticket", "none"}
PARTS = {"engine", "live", "http", "gpu", "host", "models", "monitoring"}
OTHERS = ("up", "nv_", "alertmanager_", "prometheus_")  # not of the server

Rule = dict[str, Any]


def rules(kind: str) -> list[Rule]:
    """Return the rules that record or that alert."""
    books = [yaml.safe_load(file.read_text()) for file in rule_files()]
    groups = [group for book in books for group in book["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def cases() -> Iterator[tuple[str, bool]]:
    """Yield what the unit tests ask of alerts: a name, and whether it is to fire."""
    for file in TESTS.glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                yield case["alertname"], bool(case.get("exp_alerts"))


def names(alerts: list[Rule]) -> list[str]:
    """Return each alert's name and window, for a test's own name."""
    return ["-".join([a["alert"], a["labels"].get("window", "")]).strip("-") for a in alerts]


ALERTS = rules("alert")


@pytest.fixture(scope="module")
def promtool() -> Callable[..., str]:
    """Return a function that runs promtool and returns what it says."""
    binary = shutil.which("promtool")
    if binary is None:
        missing("no promtool on PATH; Debian's package promtool or prometheus has it")
        raise AssertionError

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [binary, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    return run


def test_promtool_accepts_the_configuration_and_the_rules(promtool: Callable[..., str]) -> None:
    promtool("check", "config", CONFIG)
    assert "SUCCESS" in promtool("check", "rules", *rule_files())


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_rules_do_what_their_tests_say(promtool: Callable[..., str], file: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", file)


@pytest.mark.parametrize("alert", ALERTS, ids=names(ALERTS))
def test_an_alert_says_how_bad_it_is_what_with_numbers_and_where_to_read_on(alert: Rule) -> None:
    labels, annotations = alert["labels"], alert["annotations"]
    assert labels["severity"] in SEVERITIES
    assert labels["part"] in PARTS
    assert "{{" in annotations["summary"], "a summary names the machine or a number"
    assert annotations["description"].endswith(".")
    page = ROOT / annotations["runbook_url"]
    assert page.parent == RUNBOOKS
    assert page.is_file(), f"{annotations['runbook_url']} is missing"
    assert alert["alert"] in page.read_text(), f"{page.name} doesn't name {alert['alert']}"


def test_every_page_has_an_alert_and_is_in_the_index() -> None:
    pages = {page.name for page in RUNBOOKS.glob("*.md")} - {"README.md"}
    assert pages == {Path(alert["annotations"]["runbook_url"]).name for alert in ALERTS}
    index = (RUNBOOKS / "README.md").read_text()
    assert {page for page in pages if f"]({page})" not in index} == set()
    assert {alert["alert"] for alert in ALERTS if alert["alert"] not in index} == set()


def test_a_page_says_what_is_promql_and_what_is_for_a_shell() -> None:
    for page in sorted(RUNBOOKS.glob("*.md")):
        kinds = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
        assert set(kinds[::2]) <= {"promql", "sh"}, page.name
        assert set(kinds[1::2]) <= {""}, page.name


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "stays silent"])
def test_every_alert_has_a_test_in_which_it(fires: bool) -> None:
    tested = {name for name, firing in cases() if firing is fires}
    alerts = {alert["alert"] for alert in ALERTS}
    assert alerts - tested <= (set() if fires else {"Watchdog"})  # it never is


def test_a_recorded_name_tells_its_window() -> None:
    wrong = []
    for rule in rules("record"):
        windows = set(re.findall(r"\[(\w+)\]", rule["expr"]))
        named = set(re.findall(r"(\d+[mhd])", rule["record"].rpartition(":")[2]))
        recorded = set(re.findall(r":\w*?(?:rate|avg)(\d+[mhd])\b", rule["expr"]))
        if (windows | recorded or named) != named:
            wrong.append(rule["record"])
    assert wrong == []


async def test_every_metric_in_the_rules_is_exported_or_recorded() -> None:
    async with running() as backend:
        await backend.http.get("/models")  # HTTP's own series come with the first request
        metrics = backend.service.telemetry.metrics
        metrics.triton.watched(live=True, ready=2, unavailable=0)  # where there is one
        families = list(metrics.registry.collect())
    exported = {sample.name for family in families for sample in family.samples}
    # What has no series without a GPU, a limit of memory, or a model that was measured.
    families += [*GpuCollector().describe(), *MemoryLimitCollector().describe()]
    for family in families:
        exported.add(family.name + ("_total" if family.type == "counter" else ""))
    exported |= {rule["record"] for rule in rules("record")}
    used = {name for rule in [*rules("record"), *ALERTS] for name in _metrics(rule["expr"])}
    assert {name for name in used - exported if not name.startswith(OTHERS)} == set()


def _metrics(expression: str) -> set[str]:
    """Return the names of the series that an expression reads."""
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\b(?:without|by|on|ignoring)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\boffset \w+", " ", text)
    words = re.findall(r"(?<![\w.])[a-z_][\w:]*(?!\s*\()\b", text)
    return {word for word in words if word not in ("and", "or", "unless")}
