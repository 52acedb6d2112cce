"""What is wrong, in words: each kind, its number, and the alert rule it goes with."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from sightline_monitoring import machine_trouble, trouble
from sightline_monitoring.figures import Figures
from sightline_monitoring.metrics import REFUSAL_REASONS
from sightline_monitoring.trouble import State, Trouble, find_trouble
from tests.conftest import ROOT

RULES = ROOT / "monitoring" / "prometheus" / "rules"

WELL = Figures(
    answered_fps=30.0,
    dropped_fps=0.0,
    refused_fps=0.0,
    failed_fps=0.0,
    superseded_fps=0.0,
    late_fps=0.0,
    closing_fps=0.0,
    refused_frames=0.0,
    failed_frames=0.0,
    owed_frames=300.0,
    missed_frames=0.0,
    age_p95_s=0.06,
    deadline_s=0.5,
    batch_size=1.0,
    best_batch_size=4.0,
    busy_share=0.6,
    streams=2.0,
    waiting=0.0,
    live_wait_s=0.0,
    upload_wait_s=0.0,
    gpu_share=0.5,
    gpu_memory_bytes=5e9,
    gpu_memory_total_bytes=10e9,
    gpu_celsius=60.0,
    gpu_slowdown_celsius=90.0,
    host_memory_bytes=5e9,
    host_memory_total_bytes=10e9,
    memory_used_bytes=5e9,
    memory_limit_bytes=10e9,
    disk_free_bytes=5e9,
    disk_total_bytes=10e9,
    open_files_share=0.1,
    fallback=0.0,
)
DROPPING = replace(WELL, dropped_fps=10.0, superseded_fps=9.0, late_fps=1.0)


def found(now: Figures, state: State | None = None) -> list[Trouble]:
    return find_trouble(now, state or State())


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(Figures(), id="nothing is known yet"),
        pytest.param(WELL, id="all is well"),
        pytest.param(replace(WELL, streams=0.0, answered_fps=0.0), id="no stream is open"),
        pytest.param(replace(DROPPING, streams=0.0), id="a stream that dropped frames has left"),
        pytest.param(replace(WELL, owed_frames=600.0, missed_frames=3.0), id="half of the budget"),
        pytest.param(replace(WELL, owed_frames=5.0, missed_frames=1.0), id="one missed of five"),
        pytest.param(
            replace(WELL, answered_fps=0.2, failed_fps=0.1, failed_frames=1.0), id="one failed"
        ),
        pytest.param(
            replace(WELL, answered_fps=0.2, refused_fps=0.2, refused_frames=2.0), id="two refused"
        ),
        pytest.param(
            replace(WELL, dropped_fps=9.0, closing_fps=9.0, busy_share=0.1), id="streams closed"
        ),
        pytest.param(replace(WELL, live_wait_s=0.9), id="a frame waits for its deadline"),
        pytest.param(replace(WELL, deadline_s=0.0, age_p95_s=None), id="no model is in memory"),
        pytest.param(replace(WELL, age_p95_s=0.44), id="below nine tenths of the deadline"),
        pytest.param(replace(WELL, batch_size=1.0, waiting=9.0), id="a backlog, not busy"),
    ],
)
def test_all_is_well(now: Figures) -> None:
    assert found(now) == []


@pytest.mark.parametrize(
    ("now", "code", "severity", "words"),
    [
        (replace(WELL, answered_fps=0.0), "starved", "ticket", "2 streams are open, but no frame"),
        (
            replace(
                WELL,
                answered_fps=0.0,
                streams=1.0,
                failed_fps=12.0,
                missed_frames=120.0,
                failed_frames=120.0,
            ),
            "starved",
            "page",
            "1 stream is open and frames come, 12 a second, but none is answered",
        ),
        (
            replace(WELL, answered_fps=0.0, superseded_fps=1.0, dropped_fps=1.0, missed_frames=1.0),
            "starved",
            "ticket",
            "frames come, 1 a second, but none is answered",
        ),
        (
            replace(WELL, missed_frames=60.0),
            "late",
            "page",
            "^60 of the last 300 frames .* 20%; the objective allows 1%",
        ),
        (replace(WELL, missed_frames=9.0), "late", "ticket", "^9 of the last 300 .* 3.0%;"),
        (replace(WELL, owed_frames=4.0, missed_frames=3.0), "late", "ticket", "^3 of the last 4 "),
        (replace(WELL, age_p95_s=0.48), "late", "ticket", "older than 480 ms.* is 500 ms"),
        (
            DROPPING,
            "dropping",
            "note",
            "25% .*10 a second.*a newer one came.*busy 60% of the time.$",
        ),
        (replace(DROPPING, busy_share=0.99), "dropping", "note", "busy 99% .*: more comes than"),
        (replace(DROPPING, busy_share=0.2), "dropping", "ticket", "busy only 20% of the time"),
        (replace(DROPPING, busy_share=None), "dropping", "note", "newer one came.$"),
        (
            replace(WELL, failed_fps=1.0, failed_frames=10.0),
            "failing",
            "ticket",
            "3.2% of the frames fail",
        ),
        (
            replace(WELL, answered_fps=0.0, refused_fps=96.0, refused_frames=960.0),
            "bad_frames",
            "note",
            "^100% of the frames and uploads are refused for what they are, 96 a second",
        ),
        (replace(WELL, refused_fps=10.0, refused_frames=100.0), "bad_frames", "note", "^25% of"),
        (replace(WELL, upload_wait_s=12.0), "queue", "ticket", "upload has waited for 12 s"),
        (replace(WELL, live_wait_s=1.2), "queue", "ticket", "1.2 s, though the deadline is 500 ms"),
        (
            replace(WELL, waiting=9.0, busy_share=0.9),
            "batches_of_one",
            "ticket",
            "9 pictures wait.* batches of 4 would pay",
        ),
        (replace(WELL, fallback=1.0), "fallback", "ticket", "/health says why"),
        (replace(WELL, gpu_celsius=86.0), "gpu_hot", "ticket", "at 86 °C; at 90 °C"),
        (replace(WELL, gpu_share=0.97), "gpu_full", "ticket", "97%"),
        (replace(WELL, gpu_memory_bytes=9.6e9), "gpu_memory", "ticket", "96%"),
        (replace(WELL, host_memory_bytes=9.2e9), "memory", "ticket", "8% of"),
        (replace(WELL, memory_used_bytes=9.3e9), "memory_limit", "ticket", "93% of"),
        (replace(WELL, disk_free_bytes=0.5e9), "disk", "ticket", "0.5 GB"),
        (replace(WELL, open_files_share=0.9), "open_files", "ticket", "90%"),
    ],
)
def test_what_is_wrong_is_said_with_its_number(
    now: Figures, code: str, severity: str, words: str
) -> None:
    one, *others = found(now)
    why = {"failing", "late", "dropping"} if code == "starved" else set()
    assert {other.code for other in others} <= why
    assert (one.code, one.severity) == (code, severity)
    assert re.search(words, one.message), one.message
    assert one.message.endswith(".")


@pytest.mark.parametrize("turned_away", [{}, {"rate": 1.0}, {"rate": 2.0, "streams": 1.0}])
def test_a_few_refusals_are_no_trouble(turned_away: dict[str, float]) -> None:
    assert found(WELL, State(turned_away=turned_away)) == []


@pytest.mark.parametrize(
    ("turned_away", "words"),
    [
        ({"rate": 12.0}, "12 times in the last minute.* promised to others."),
        ({"streams": 3.0, "uploads": 9.0}, "12 times .* uploads wait"),
        ({"engine": 5.0}, "5 times .*: an engine takes no frames."),
        ({"model": 5.0}, "model"),
        ({"something new": 5.0}, "turned away.$"),
    ],
)
def test_who_is_turned_away_is_told_with_what_is_short(
    turned_away: dict[str, float], words: str
) -> None:
    (one,) = found(WELL, State(turned_away=turned_away))
    assert (one.code, one.severity) == ("refusing", "ticket")
    assert re.search(words, one.message), one.message


def test_every_reason_of_a_refusal_has_its_words() -> None:
    assert {*REFUSAL_REASONS} - {"closing"} <= set(trouble._TURNED_AWAY)


@pytest.mark.parametrize(
    ("state", "code", "severity", "words"),
    [
        (State(not_ready="The engine rests."), "not_ready", "page", "The engine rests."),
        (State(fallback="no CUDA here."), "fallback", "ticket", "no CUDA here."),
        (State(loop_lag_p99_s=0.2), "loop_lag", "ticket", "200 ms late"),
        (State(restarts=1), "restarts", "note", "once in 15 minutes"),
        (State(restarts=4), "restarts", "ticket", "4 times in 15 minutes"),
    ],
)
def test_the_engines_state_is_told(state: State, code: str, severity: str, words: str) -> None:
    (one,) = found(WELL, state)
    assert (one.code, one.severity) == (code, severity)
    assert words in one.message


def test_the_worst_comes_first() -> None:
    now = replace(DROPPING, missed_frames=150.0, gpu_celsius=89.0)
    assert [one.severity for one in found(now)] == ["page", "ticket", "note"]


def test_a_server_that_is_not_ready_is_not_called_starved() -> None:
    codes = [one.code for one in found(replace(WELL, answered_fps=0.0), State(not_ready="No."))]
    assert codes == ["not_ready"]


@pytest.mark.parametrize(
    ("alert", "thresholds"),
    [
        ("ResultAgeNearDeadline", [trouble.NEAR_DEADLINE]),
        (
            "FramesDroppedWhileIdle",
            [trouble.DROPPED_FPS, trouble.DROPPED_SHARE, trouble.IDLE_BELOW],
        ),
        ("BatchesOfOneWithBacklog", [trouble.WAITING, trouble.BATCH_OF_ONE, trouble.BUSY]),
        ("FramesFailing", [trouble.FAILED_SHARE]),
        ("QueueOld", [trouble.OLD_UPLOAD_S, trouble.OLD_FRAME_DEADLINES]),
        ("WorkRefused", [trouble.TURNED_AWAY_PER_MIN]),
        ("EventLoopLag", [trouble.LATE_LOOP_S]),
        ("EngineRestarts", [trouble.RESTARTS]),
        ("GpuSaturated", [machine_trouble.GPU_FULL]),
        ("GpuMemoryNearlyFull", [machine_trouble.GPU_FULL]),
        ("GpuHot", [machine_trouble.NEAR_SLOWDOWN_C]),
        ("HostMemoryLow", [machine_trouble.MEMORY_LEFT]),
        ("MemoryLimitNear", [machine_trouble.MEMORY_LIMIT]),
        ("HostDiskNearlyFull", [machine_trouble.DISK_LEFT, machine_trouble.DISK_LEFT_BYTES]),
        ("FileDescriptorsLow", [machine_trouble.OPEN_FILES]),
    ],
)
def test_thresholds_are_those_of_the_alert_rules(alert: str, thresholds: list[float]) -> None:
    book = yaml.safe_load((RULES / "causes.yml").read_text())
    rules = {rule.get("alert"): rule["expr"] for group in book["groups"] for rule in group["rules"]}
    numbers = {float(text) for text in re.findall(r"(?<![\w.])\d[\d.]*(?:e\d+)?\b", rules[alert])}
    assert set(thresholds) <= numbers, rules[alert]


def test_the_objectives_burn_rates_are_the_alerts() -> None:
    text = (RULES / "objectives.yml").read_text()
    assert "frames_late:ratio_rate1h > 14.4 * 0.01" in text
    assert "frames_late:ratio_rate3d > 1 * 0.01" in text
    assert (trouble.MISSED_PAGE, trouble.MISSED_TICKET) == (14.4 * 0.01, 1 * 0.01)
