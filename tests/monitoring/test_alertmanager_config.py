"""Settings from the environment become a configuration that Alertmanager takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sightline_monitoring.alertmanager.inhibition import INHIBIT_RULES
from sightline_monitoring.alertmanager.settings import UNITS_MS, AlertSettings, milliseconds
from tests.conftest import ROOT
from tests.monitoring.alertmanager_server import binary
from tests.monitoring.prometheus_server import rule_files

SECRET = "hunter2"  # noqa: S105
MAIL = {"EMAIL_TO": "ops@example.org", "EMAIL_FROM": "Sightline <s@example.org>",
        "EMAIL_SMARTHOST": "mail.example.org:587"}  # fmt: skip
LOGIN = {"EMAIL_USERNAME": "s", "EMAIL_PASSWORD_FILE": "{password}"}
SLACK = {"SLACK_URL_FILE": "{address}"}
TEAMS = {"TEAMS_URL_FILE": "{address}"}
HOOK = {"WEBHOOK_URL": "http://hook.example.org/a"}
DOG = {"WATCHDOG_URL": "https://ping.example.org/a"}
EVERYTHING = {
    **MAIL, **LOGIN, **SLACK, **TEAMS, **DOG,
    "EMAIL_TO": "ops@example.org, Night <night@example.org>",
    "EMAIL_CA_FILE": "{password}",
    "SLACK_CHANNEL": "#cameras",
    "WEBHOOK_URL_FILE": "{address}",
    "WEBHOOK_TOKEN_FILE": "{password}",
    "PAGE_TO": "email,slack,teams,webhook",
    "TICKET_TO": "teams",
    "GROUP_WAIT": "0s",
    "GROUP_INTERVAL": "1m30s",
    "PAGE_REPEAT": "2h",
    "TICKET_REPEAT": "1w",
    "WATCHDOG_EVERY": "5m",
    "REPOSITORY_URL": "https://git.example.org/sightline/",
}  # fmt: skip


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Files that settings name as {password} and so on."""
    contents = {
        "password": f"{SECRET}\n",
        "address": f"https://hooks.example.org/{SECRET}\n",
        "connector": f"https://a.webhook.office.com/webhookb2/{SECRET}\n",
        "empty": "\n",
        "words": f"https://hooks.example.org/{SECRET} and more\n",
        "bare": f"hooks.example.org/{SECRET}\n",
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    return {name: str(tmp_path / name) for name in contents} | {"absent": str(tmp_path / "absent")}


def make(
    variables: dict[str, str], secrets: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the program with nothing set but these."""
    env = {"PATH": os.defpath}
    env |= {f"SIGHTLINE_ALERT_{name}": v.format(**secrets) for name, v in variables.items()}
    command = [sys.executable, "-m", "sightline_monitoring.alertmanager", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def amtool(*arguments: str) -> str:
    done = subprocess.run([binary("amtool"), *arguments], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("variables", "told", "receivers"),
    [
        ({}, "alerts go nowhere", ("nobody", "nobody", "nobody")),
        ({"SLACK_URL_FILE": "", "WEBHOOK_URL": ""}, "nowhere", ("nobody", "nobody", "nobody")),
        (DOG, "alerts go nowhere", ("nobody", "nobody", "watchdog")),
        (MAIL, "pages to email; tickets to email", ("page", "ticket", "nobody")),
        (MAIL | LOGIN, "pages to email", ("page", "ticket", "nobody")),
        (MAIL | {"EMAIL_TLS": "false"}, "pages to email", ("page", "ticket", "nobody")),
        (SLACK, "pages to slack; tickets to slack", ("page", "ticket", "nobody")),
        (TEAMS, "pages to teams; tickets to teams", ("page", "ticket", "nobody")),
        (HOOK, "pages to webhook; tickets to webhook", ("page", "ticket", "nobody")),
        ({"WEBHOOK_URL_FILE": "{address}"}, "pages to webhook", ("page", "ticket", "nobody")),
        (MAIL | SLACK | {"PAGE_TO": "slack"}, "pages to slack; tickets to email, slack",
         ("page", "ticket", "nobody")),
        (SLACK | {"TICKET_TO": "none"}, "pages to slack; tickets to nobody",
         ("page", "nobody", "nobody")),
        (EVERYTHING, "pages to email, slack, teams, webhook; tickets to teams",
         ("page", "ticket", "watchdog")),
    ],
)  # fmt: skip
def test_each_choice_of_channels_is_valid_and_routes_by_severity(
    tmp_path: Path,
    secrets: dict[str, str],
    variables: dict[str, str],
    told: str,
    receivers: tuple[str, str, str],
) -> None:
    page, ticket, watchdog = receivers
    file = tmp_path / "alertmanager.yml"
    made = make(variables, secrets, str(file))
    assert (made.returncode, made.stdout) == (0, "")
    assert told in made.stderr
    assert made.stderr.count("\n") == 1
    assert "SUCCESS" in amtool("check-config", str(file))
    route = ("config", "routes", "test", f"--config.file={file}")
    assert amtool(*route, "severity=page", "alertname=EngineNotReady") == page
    assert amtool(*route, "severity=ticket", "alertname=QueueOld") == ticket
    assert amtool(*route, "severity=odd", "alertname=Mistyped") == ticket
    assert amtool(*route, "severity=none", "alertname=Watchdog") == watchdog
    assert amtool(*route, "severity=none", "alertname=JustToKnow") == "nobody"


def test_everything_that_is_set_is_in_the_file_and_no_secret_is(
    tmp_path: Path, secrets: dict[str, str]
) -> None:
    text = make(EVERYTHING, secrets).stdout
    assert SECRET not in text
    config = yaml.safe_load(text)
    page = next(one for one in config["receivers"] if one["name"] == "page")
    (email,), (slack,) = page["email_configs"], page["slack_configs"]
    (teams,), (webhook,) = page["msteamsv2_configs"], page["webhook_configs"]
    assert email["to"] == "ops@example.org, Night <night@example.org>"
    assert (email["from"], email["require_tls"]) == ("Sightline <s@example.org>", True)
    assert email["auth_password_file"] == secrets["password"]
    assert email["tls_config"] == {"ca_file": secrets["password"]}
    assert slack["channel"] == "#cameras"
    assert slack["api_url_file"] == teams["webhook_url_file"] == secrets["address"]
    assert webhook["url_file"] == secrets["address"]
    assert webhook["http_config"]["authorization"]["credentials_file"] == secrets["password"]
    assert all(one["send_resolved"] for one in (email, slack, teams, webhook))
    route = config["route"]
    assert (route["group_wait"], route["group_interval"]) == ("0s", "1m30s")
    assert route["repeat_interval"] == "1w"
    watchdog, _, page_route = route["routes"]
    assert page_route["repeat_interval"] == "2h"
    assert (watchdog["group_interval"], watchdog["repeat_interval"]) == ("150000ms", "270000ms")


@pytest.mark.parametrize(
    ("smarthost", "tls", "starttls"),
    [("m:587", "true", True), ("m:25", "false", False), ("m:465", "true", False)],
)
def test_port_465_has_tls_from_the_start_and_is_asked_for_no_starttls(
    secrets: dict[str, str], smarthost: str, tls: str, starttls: bool
) -> None:
    made = make(MAIL | {"EMAIL_SMARTHOST": smarthost, "EMAIL_TLS": tls}, secrets)
    (email,) = yaml.safe_load(made.stdout)["receivers"][1]["email_configs"]
    assert email["require_tls"] is starttls


@pytest.mark.parametrize(
    ("variables", "variable", "said"),
    [
        ({"SLACK_URL_FILE": "{absent}"}, "SLACK_URL_FILE", "does not exist; make it"),
        ({"SLACK_URL_FILE": "{empty}"}, "SLACK_URL_FILE", "is empty; put one line into it"),
        ({"SLACK_URL_FILE": "{words}"}, "SLACK_URL_FILE", "should hold one address"),
        ({"SLACK_URL_FILE": "/"}, "SLACK_URL_FILE", "can't be read by this user"),
        ({"TEAMS_URL_FILE": "{bare}"}, "TEAMS_URL_FILE", "begins with https://"),
        ({"TEAMS_URL_FILE": "{connector}"}, "TEAMS_URL_FILE", "make a Workflows one"),
        ({"WEBHOOK_URL_FILE": "{empty}"}, "WEBHOOK_URL_FILE", "is empty"),
        ({"WATCHDOG_URL_FILE": "{absent}"}, "WATCHDOG_URL_FILE", "does not exist"),
        (HOOK | {"WEBHOOK_TOKEN_FILE": "{absent}"}, "WEBHOOK_TOKEN_FILE", "does not exist"),
        (MAIL | LOGIN | {"EMAIL_PASSWORD_FILE": "{empty}"}, "EMAIL_PASSWORD_FILE", "is empty"),
        (MAIL | {"EMAIL_CA_FILE": "{absent}"}, "EMAIL_CA_FILE", "does not exist"),
        ({"WEBHOOK_URL": "hook.example.org"}, "WEBHOOK_URL", "begins with https://"),
        ({"WATCHDOG_URL": "ftp://a"}, "WATCHDOG_URL", "begins with https://"),
        ({"WEBHOOK_URL": "https://u:p@a"}, "WEBHOOK_URL", "put the address into a file"),
        (HOOK | {"WEBHOOK_URL_FILE": "{address}"}, "WEBHOOK_URL", "set one of the two"),
        ({"WEBHOOK_TOKEN_FILE": "{password}"}, "WEBHOOK_URL", "without an address"),
        ({"SLACK_CHANNEL": "#a"}, "SLACK_URL_FILE", "no file with the address"),
        ({"EMAIL_TO": "ops@example.org"}, "EMAIL_SMARTHOST", "for example mail.example.org:587"),
        ({"EMAIL_TO": "ops@example.org"}, "EMAIL_FROM", "for example sightline@example.org"),
        ({"EMAIL_SMARTHOST": "m:25"}, "EMAIL_TO", "nobody to write to"),
        (MAIL | {"EMAIL_SMARTHOST": "mail.example.org"}, "EMAIL_SMARTHOST", "host:port"),
        (MAIL | {"EMAIL_TO": "ops@example.org, night"}, "EMAIL_TO", "got 'night'"),
        (MAIL | {"EMAIL_FROM": "Sightline <s@a"}, "EMAIL_FROM", "a mail address"),
        (MAIL | {"EMAIL_USERNAME": "s"}, "EMAIL_PASSWORD_FILE", "set both"),
        (MAIL | {"EMAIL_PASSWORD_FILE": "{password}"}, "EMAIL_USERNAME", "set both"),
        (MAIL | LOGIN | {"EMAIL_TLS": "false"}, "EMAIL_TLS", "in the clear"),
        (SLACK | {"PAGE_TO": "pager"}, "PAGE_TO", "'email', 'slack', 'teams', 'webhook' or 'none'"),
        (SLACK | {"PAGE_TO": "teams"}, "PAGE_TO", "set SIGHTLINE_ALERT_TEAMS_URL_FILE too"),
        (SLACK | {"TICKET_TO": "email"}, "TICKET_TO", "set SIGHTLINE_ALERT_EMAIL_TO too"),
        (SLACK | {"TICKET_TO": "slack,none"}, "TICKET_TO", "none stands alone"),
        ({"GROUP_WAIT": "soon"}, "GROUP_WAIT", "30s, 5m or 1h30m"),
        ({"GROUP_INTERVAL": "0s"}, "GROUP_INTERVAL", "at least 1s"),
        ({"PAGE_REPEAT": "90"}, "PAGE_REPEAT", "got '90'"),
    ],
)
def test_what_can_not_work_is_refused_with_the_variable_and_the_mend(
    tmp_path: Path,
    secrets: dict[str, str],
    variables: dict[str, str],
    variable: str,
    said: str,
) -> None:
    file = tmp_path / "alertmanager.yml"
    made = make(variables, secrets, str(file))
    assert made.returncode == 2
    lines = [line for line in made.stderr.splitlines() if said in line]
    assert [line.split(":")[0] for line in lines] == [f"SIGHTLINE_ALERT_{variable}"], made.stderr
    assert SECRET not in made.stderr
    assert not file.exists()


def test_the_file_is_replaced_whole_and_anybody_may_read_it(
    tmp_path: Path, secrets: dict[str, str]
) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    file = folder / "alertmanager.yml"
    assert make({}, secrets, str(file)).returncode == 0
    before = file.stat()
    assert make(SLACK, secrets, str(file)).returncode == 0
    assert file.stat().st_ino != before.st_ino
    assert oct(file.stat().st_mode & 0o777) == "0o644"
    assert file.read_text() == make(SLACK, secrets).stdout
    assert list(folder.iterdir()) == [file]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, secrets: dict[str, str]) -> None:
    made = make({}, secrets, str(tmp_path / "nowhere" / "alertmanager.yml"))
    assert made.returncode == 1
    assert "can't be written" in made.stderr
    assert "Traceback" not in made.stderr


@given(parts=st.lists(st.integers(0, 10_000), min_size=len(UNITS_MS), max_size=len(UNITS_MS)))
def test_durations_add_up(parts: list[int]) -> None:
    spelled = "".join(f"{n}{unit}" for n, unit in zip(parts, UNITS_MS, strict=True) if n)
    expected = sum(n * ms for n, ms in zip(parts, UNITS_MS.values(), strict=True))
    if not spelled:
        with pytest.raises(ValueError, match="duration"):
            milliseconds(spelled)
    else:
        assert milliseconds(spelled) == expected


def committed_alerts() -> list[dict[str, Any]]:
    books = [yaml.safe_load(file.read_text()) for file in rule_files()]
    rules = [rule for book in books for group in book["groups"] for rule in group["rules"]]
    return [rule for rule in rules if "alert" in rule]


def test_every_name_and_label_that_inhibition_goes_by_is_in_the_rules() -> None:
    alerts = committed_alerts()
    known = {"alertname": {rule["alert"] for rule in alerts}}
    for label in ("severity", "part", "objective"):
        known[label] = {rule["labels"].get(label, "") for rule in alerts}
    for rule in INHIBIT_RULES:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            found = re.fullmatch(r'(\w+)(?:=|!=|=~|!~)"(.+)"', matcher)
            assert found, matcher
            label, values = found.groups()
            for value in values.split("|"):
                assert value == ".+" or value in known[label], matcher
        assert any(matcher.startswith("instance=") for matcher in rule["source_matchers"])
        assert any(matcher.startswith("part=") for matcher in rule["target_matchers"])
        assert {"job", "instance", "site"} <= set(rule["equal"])


def test_every_severity_in_the_rules_has_a_route_of_its_own() -> None:
    severities = {rule["labels"]["severity"] for rule in committed_alerts()}
    assert severities == {"page", "ticket", "none"}
    silent = {r["alert"] for r in committed_alerts() if r["labels"]["severity"] == "none"}
    assert silent == {"Watchdog"}


def test_every_setting_is_described_with_its_default() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text()
    for name, field in AlertSettings.model_fields.items():
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"SIGHTLINE_ALERT_{name.upper()}"
        default = str(field.default).lower() if field.default not in (None, ()) else ""
        assert f"| `{variable}` | {default} | {field.description} |".replace("|  |", "| |") in text
