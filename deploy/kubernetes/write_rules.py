"""Write the PrometheusRule of components/prometheus-operator from Prometheus' own rule files.

python deploy/kubernetes/write_rules.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[1] / "monitoring" / "prometheus" / "rules"
WRITTEN = HERE / "components" / "prometheus-operator" / "rules.yaml"
_HEAD = (
    "# Written by deploy/kubernetes/write_rules.py from monitoring/prometheus/rules: edit those.\n"
)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a change to one is readable."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def prometheus_rule() -> dict[str, Any]:
    """Return the object with every group of every rule file, in the order of their names."""
    files = sorted(RULES.glob("*.yml"))
    groups = [
        _ours(group) for file in files for group in yaml.safe_load(file.read_text())["groups"]
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sightline", "labels": {"app.kubernetes.io/part-of": "sightline"}},
        "spec": {"groups": groups},
    }


def _ours(group: dict[str, Any]) -> dict[str, Any]:
    """Leave out what watches the monitoring itself: a cluster's Prometheus has rules for that."""
    rules = [
        rule
        for rule in group["rules"]
        if rule.get("labels", {}).get("part") != "monitoring" or 'job="sightline"' in rule["expr"]
    ]
    return {**group, "rules": rules}


def as_text() -> str:
    """Return the file as it should be."""
    return _HEAD + yaml.dump(prometheus_rule(), Dumper=_Dumper, sort_keys=False, width=100)


if __name__ == "__main__":
    WRITTEN.write_text(as_text())
    print(f"wrote {WRITTEN}")
