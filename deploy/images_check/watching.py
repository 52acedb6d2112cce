"""Prometheus, Alertmanager and Grafana: targets, rules, an alert that arrives, dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from deploy.images_check.stack import CheckFailed, Stack, until

_API = "http://127.0.0.1:9090/api/v1"
_ALERT = "ScrapeDown"
_DASHBOARDS = {"sightline-live", "sightline-models", "sightline-resources", "sightline-objectives"}


def check_prometheus(stack: Stack) -> Iterator[str]:
    """Every target must be up and every rule in order."""

    def all_up() -> list[str] | None:
        found = stack.ask("prometheus", f"{_API}/targets?state=active")["data"]["activeTargets"]
        up = [one["labels"]["job"] for one in found if one["health"] == "up"]
        return sorted(up) if found and len(up) == len(found) else None

    jobs = until("every target up", 60, all_up)
    yield f"prometheus: {len(jobs)} targets up ({', '.join(jobs)})"

    def evaluated() -> list[dict[str, Any]] | None:
        groups = stack.ask("prometheus", f"{_API}/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = until("every rule evaluated", 90, evaluated)
    if failed := [f"{rule['name']}: {rule['lastError']}" for rule in rules if "lastError" in rule]:
        raise CheckFailed(f"rules that can't be evaluated: {'; '.join(failed)}")
    alerts = sum(rule["type"] == "alerting" for rule in rules)
    yield f"prometheus: {len(rules) - alerts} recording rules and {alerts} alerts loaded"


def check_alert(stack: Stack) -> Iterator[str]:
    """Stop the server, be told; start it again, be told that too."""
    stack.compose("stop", "backend")
    fired = until(f"{_ALERT} fired and delivered", 240, lambda: _delivered(stack, "firing"))
    yield f"alert delivered: {fired['summary']}"
    stack.compose("up", "--detach", "--no-build", "--wait", "backend")
    until(f"{_ALERT} resolved and delivered", 240, lambda: _delivered(stack, "resolved"))
    yield "alert resolved and delivered"


def check_grafana(stack: Stack) -> Iterator[str]:
    """The made password must let in, the usual one must not, and the dashboards must be there."""
    password = stack.compose("exec", "-T", "grafana", "cat", "/run/grafana/password").strip()
    with httpx.Client(base_url=stack.url("grafana"), trust_env=False) as client:
        for who, expected in ((None, 401), (("admin", "admin"), 401), (("admin", password), 200)):
            status = client.get("/api/org", auth=who).status_code
            if status != expected:
                raise CheckFailed(f"Grafana answered {status} in place of {expected}")
        found = client.get("/api/search?type=dash-db", auth=("admin", password)).json()
    if lacking := _DASHBOARDS - {one["uid"] for one in found}:
        raise CheckFailed(f"Grafana lacks {', '.join(sorted(lacking))}")
    yield f"grafana: made password only, {len(found)} dashboards"


def _delivered(stack: Stack, status: str) -> dict[str, Any] | None:
    for line in stack.compose("logs", "--no-log-prefix", "receiver").splitlines():
        alert: dict[str, Any] = json.loads(line)
        if (alert["name"], alert["status"]) == (_ALERT, status):
            return alert
    return None
