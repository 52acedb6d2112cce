"""What scales, scrapes and shows Sightline in a cluster."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from sightline_backend.settings import Settings as ServerSettings
from tests.conftest import ROOT, missing
from tests.deploy.manifests import (
    BACKEND,
    FRONTEND,
    KUBERNETES,
    TRITON,
    built,
)


def test_autoscalers_leave_streams_time() -> None:
    cpu = built("cpu")
    for name in (BACKEND, FRONTEND):
        spec = cpu.one("HorizontalPodAutoscaler", name)["spec"]
        assert spec["scaleTargetRef"]["name"] == name
        assert spec["minReplicas"] >= 2
        assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 600
        assert "replicas" not in cpu.one("Deployment", name)["spec"]


def test_keda_takes_the_backends_autoscaler_over() -> None:
    everything = built("everything")
    scaled = everything.one("ScaledObject", BACKEND)
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"]["scaleTargetRef"]["name"] == BACKEND
    names = {one["metadata"]["name"] for one in everything.of("HorizontalPodAutoscaler")}
    assert names == {FRONTEND}
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 4)
    triggers = {one["name"]: one for one in scaled["spec"]["triggers"]}
    assert set(triggers) == {"streams", "reserved", "engine-busy", "queue-age", "gpu"}
    for trigger in triggers.values():
        assert trigger["type"] == "prometheus"
        assert trigger["metricType"] in ("AverageValue", "Value")
        assert {"serverAddress", "query", "threshold"} <= set(trigger["metadata"])
        assert Fraction(trigger["metadata"]["threshold"]) > 0
    streams = Fraction(triggers["streams"]["metadata"]["threshold"])
    assert streams == Fraction(3, 4) * ServerSettings().max_streams


def test_keda_asks_for_metrics_that_exist() -> None:
    everything = built("everything")
    text = (ROOT / "docs" / "metrics.md").read_text()  # held to the code by its own test
    known = set(re.findall(r"`([a-z][a-z_]+)`", text))
    for trigger in everything.one("ScaledObject", BACKEND)["spec"]["triggers"]:
        query = trigger["metadata"]["query"]
        names = re.findall(r"([a-z][a-z_]+)\{", query)
        assert names
        assert set(names) <= known, query
        (namespace,) = everything.of("Namespace")
        own = f'{{job="sightline", namespace="{namespace["metadata"]["name"]}"'
        assert query.count(own) == len(names)


def labelled(name: str, **labels: str) -> str:
    """Return a series of job sightline, with further labels than `name` has."""
    name, _, own = name.rstrip("}").partition("{")
    pairs = [*filter(None, [own]), *(f'{key}="{value}"' for key, value in labels.items())]
    return f'{name}{{job="sightline", {", ".join(pairs)}}}'


def test_kedas_questions_get_one_number_each_from_prometheus(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("no promtool; Debian's package prometheus has it")
    triggers = built("everything").one("ScaledObject", BACKEND)["spec"]["triggers"]
    queries = {one["name"]: one["metadata"]["query"] for one in triggers}
    figures = {  # of two pods
        "sightline_streams_active": ("10x40", "30x40"),
        "sightline_reserved_fps": ("20x40", "40x40"),
        "sightline_capacity_fps": ("50x40", "50x40"),
        'sightline_engine_busy_seconds_total{model="a"}': (
            "0+3x40",
            "0+12x40",
        ),  # 0.2, 0.8 a second
        'sightline_engine_busy_seconds_total{model="idle"}': ("0x40", "0x40"),
        'sightline_engines_running{model="a"}': ("1x40", "1x40"),
        'sightline_engines_running{model="idle"}': ("1x40", "1x40"),
        'sightline_queue_age_seconds{kind="live"}': ("0.1x40", "0.3x40"),
        'sightline_queue_age_seconds{kind="upload"}': ("9x40", "9x40"),  # they may wait
        "sightline_deadline_seconds": ("0.5x40", "0.5x40"),
    }
    series = [
        {"series": labelled(name, namespace="sightline", instance=pod), "values": values}
        for name, pair in figures.items()
        for pod, values in zip("ab", pair, strict=True)
    ]
    series.append(
        {
            "series": labelled("sightline_streams_active", namespace="other", instance="c"),
            "values": "500x40",
        }
    )
    expected = {"streams": 40, "reserved": 0.6, "engine-busy": 0.5, "queue-age": 0.4, "gpu": None}
    asked = [
        {
            "expr": queries[name],
            "eval_time": "8m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for name, value in expected.items()
    ]
    written = {"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": asked}]}
    file = tmp_path / "keda.yml"
    file.write_text(yaml.safe_dump(written))
    done = subprocess.run(
        [str(promtool), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_each_pod_under_the_name_that_the_rules_know() -> None:
    everything = built("everything")
    monitor = everything.one("PodMonitor", BACKEND)["spec"]
    assert monitor["selector"]["matchLabels"] == {"app.kubernetes.io/name": BACKEND}
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    (relabel,) = endpoint["relabelings"]
    assert (relabel["targetLabel"], relabel["replacement"]) == ("job", "sightline")
    triton = everything.one("PodMonitor", TRITON)["spec"]
    assert triton["selector"]["matchLabels"] == {"app.kubernetes.io/name": TRITON}
    (page,) = triton["podMetricsEndpoints"]
    assert page["port"] in {port["name"] for port in everything.container(TRITON)["ports"]}
    assert page["relabelings"][0]["replacement"] == "triton"
    config = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    (job,) = [one for one in config["scrape_configs"] if one["job_name"] == "sightline"]
    assert endpoint["interval"] == job["scrape_interval"]
    assert endpoint["scrapeTimeout"] == job["scrape_timeout"]


def test_the_rules_are_those_of_prometheus_but_for_those_on_itself() -> None:
    script = KUBERNETES / "write_rules.py"
    spec = importlib.util.spec_from_file_location("write_rules", script)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    message = f"run: python {script.relative_to(ROOT)}"
    assert module.WRITTEN.read_text() == module.as_text(), message
    files = sorted((ROOT / "monitoring" / "prometheus" / "rules").glob("*.yml"))
    rules = [
        rule
        for file in files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    groups = built("everything").one("PrometheusRule", "sightline")["spec"]["groups"]
    taken = [rule for group in groups for rule in group["rules"]]
    left = [rule for rule in rules if rule not in taken]
    assert [rule for rule in rules if rule in taken] == taken
    assert {rule["alert"] for rule in left} == {
        *("Watchdog", "ScrapeDown", "AlertmanagerUnreachable", "NotificationsFailing"),
        "RulesFailing",
    }
    assert [rule["labels"]["severity"] for rule in taken if rule.get("alert") == "ScrapeDown"] == [
        "page"
    ]


def test_every_dashboard_is_a_config_map_that_grafanas_sidecar_finds() -> None:
    everything = built("everything")
    written = {
        path.name: json.loads(path.read_text())
        for path in (ROOT / "monitoring" / "grafana").rglob("*.json")
    }
    assert written
    found = {
        name: json.loads(text)
        for one in everything.of("ConfigMap")
        if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in one["data"].items()
    }
    assert found == written


def test_the_rules_script_runs_by_itself(tmp_path: Path) -> None:
    copy = tmp_path / "deploy" / "kubernetes"
    (copy / "components" / "prometheus-operator").mkdir(parents=True)
    rules = tmp_path / "monitoring" / "prometheus" / "rules"
    rules.mkdir(parents=True)
    (rules / "one.yml").write_text("groups: [{name: a, rules: [{record: b:c, expr: up}]}]\n")
    (copy / "write_rules.py").write_text((KUBERNETES / "write_rules.py").read_text())
    subprocess.run([sys.executable, str(copy / "write_rules.py")], check=True, capture_output=True)
    written = yaml.safe_load((copy / "components/prometheus-operator/rules.yaml").read_text())
    assert [group["name"] for group in written["spec"]["groups"]] == ["a"]
