"""What TURN and HTTPS let through to the containers, as their files say it."""

from __future__ import annotations

import re

import yaml

from tests.conftest import ROOT

COMPOSE = ROOT / "deploy" / "compose"


def test_turn_reaches_the_pages_and_nothing_else() -> None:
    turn = yaml.safe_load((COMPOSE / "turn.yml").read_text())
    script = turn["services"]["turn"]["command"][0]
    allowed = re.findall(r"--allowed-peer-ip=(\S+)", script)
    assert allowed == [turn["services"]["frontend"]["networks"]["relay"]["ipv4_address"]]
    assert set(re.findall(r"--denied-peer-ip=(\S+)", script)) == {
        "0.0.0.0-255.255.255.255",
        "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    }
    assert "--no-tcp-relay" in script
    own = turn["services"]["turn"]["networks"]
    assert set(own) == {"relay"}
    assert own["relay"]["ipv4_address"] not in allowed
    low, high = (int(port) for port in re.findall(r"--m(?:in|ax)-port=(\d+)", script))
    assert f"--total-quota={high - low + 1}" in script


def test_https_shows_of_the_server_what_kubernetes_shows() -> None:
    text = (COMPOSE / "Caddyfile").read_text()
    (paths,) = re.findall(r"@detector path (.+)", text)
    base = (ROOT / "deploy" / "kubernetes" / "base" / "ingress.yaml").read_text()
    shown = {
        path["path"]
        for ingress in yaml.safe_load_all(base)
        for path in ingress["spec"]["rules"][0]["http"]["paths"]
        if path["backend"]["service"]["name"] == "sightline-backend"
    }
    assert set(paths.split()) == shown
    assert text.count("backend:8000") == 1
