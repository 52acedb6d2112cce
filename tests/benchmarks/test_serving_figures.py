"""From rounds to figures, and the report of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.report import Ages, LoadReport, Window
from benchmarks.serving import report
from benchmarks.serving.accuracy import Accuracy, average_precision_50, known_truth
from benchmarks.serving.baselines import Pace
from benchmarks.serving.beside import Beside
from benchmarks.serving.bounds import Bounds
from benchmarks.serving.cores import share_out
from benchmarks.serving.endurance import Long, memory_growth
from benchmarks.serving.faults import Kill, first_after
from benchmarks.serving.figures import TARGETS, Figure, Measured, figures
from benchmarks.serving.many import as_text
from benchmarks.serving.plan import GROUPS, BenchmarkError, Plan
from benchmarks.serving.rounds import NEEDS, Loaded, Round, loads_for, streams_for
from benchmarks.serving.search import IN_TIME, bisect

PLAN = Plan(
    model="some-model", only=frozenset(GROUPS), rounds=1, seconds=10.0, warm_s=2.0,
    growth_minutes=0, soak_minutes=0, file=Path("m.onnx"), threads=1,
    cores=share_out([0, 1]), frames=Path(), data=Path(),
)  # fmt: skip
SERVED = {"engine": "fake", "precision": "fp32", "device": "CPU"}


def pace(fps: float, batch: int = 1) -> Pace:
    return Pace(fps, 1000 / fps, 1200 / fps, cpu_ms=1000 / fps, batch=batch)


def bounds() -> Bounds:
    """Return baselines with a roofline of 40 frames a second."""
    return Bounds(pace(48.0), pace(50.0, 2), pace(38.0), pace(200.0), SERVED)


def load_report(in_time: int, p50: float, p99: float, **changes: Any) -> LoadReport:
    rows: dict[str, Any] = {
        "seconds": 10.0, "deadline_ms": 80.0, "rates": (30.0, 10.0), "start_s": 100.0,
        "offered": 400, "answered": in_time, "in_time": in_time, "dropped": {"late": 400 - in_time},
        "errors": {}, "lost": 0, "wrong_stream": 0, "wrong_seq": 0,
        "age_ms": Ages(p50, p50, p99, p99), "offered_by_stream": (300, 100),
        "in_time_by_stream": (in_time - 100, 100), "windows": (), "answered_ever": in_time,
        "jpeg_bytes": 1000, "wire_bytes": 1010, "refused": {}, "closed": 0, "notices": {},
        "generator_cpu_s": 0.5,
    }  # fmt: skip
    return LoadReport(**{**rows, **changes})


def one_round() -> Round:
    """Return a round in which the server answers 38 of the 40 frames a second there could be."""
    loads = {
        "one": load_report(200, 27.0, 40.0),
        "half": load_report(200, 30.0, 50.0),
        "full": load_report(380, 50.0, 78.0),
        "twice": load_report(370, 50.0, 75.0, wrong_seq=1),
    }
    outside_s = 0.007  # of each frame beside the model
    return Round(
        bounds(),
        {
            name: Loaded(one, one.answered_ever * (1 / 48 + outside_s), lag_p99_ms=5.0)
            for name, one in loads.items()
        },
    )


def found(measured: Measured) -> dict[str, Figure]:
    return {figure.key: figure for figure in figures(measured)}


def test_nothing_measured_gives_no_figure() -> None:
    assert figures(Measured()) == []


def test_a_round_s_figures_are_ratios_to_its_own_baselines() -> None:
    values = {key: figure.value for key, figure in found(Measured([one_round()])).items()}
    assert values == pytest.approx(
        {
            "M1": 38 / 40,
            "M2_p50": 27.0 / (1000 / 38),
            "M2_p99": 40.0 / (1200 / 38),
            "M3": 37 / 38,
            "M4_ratio": 1.5,
            "M6": 7.0 / 5.0,
            "M7": 1.01,
            "guard_wrong_stream": 1,
            "guard_fairness": 1.0,  # the slow stream has all it asks for, the other the rest
            "loop_lag_p99": 5.0,
        }
    )


def test_a_stream_that_gets_less_than_its_share_shows_in_the_fairness() -> None:
    starved = load_report(370, 50.0, 75.0, in_time_by_stream=(350, 20))
    one = Round(bounds(), {"twice": Loaded(starved, 1.0, None)})
    figure = found(Measured([one]))["guard_fairness"]
    assert figure.value < 0.95
    assert not figure.ok


def test_a_figure_that_misses_its_target_says_so() -> None:
    figure = found(Measured([one_round()]))["guard_wrong_stream"]
    assert (figure.ok, figure.target) == (False, "≤ 0")
    assert found(Measured([one_round()]))["M1"].ok


def test_a_load_beside_a_job_is_held_against_one_without() -> None:
    half = Beside("half", load_report(200, 30.0, 50.0), load_report(198, 31.0, 60.0))
    full = Beside("full", load_report(400, 50.0, 80.0), load_report(380, 50.0, 90.0))
    figures_ = found(Measured(beside=[half, full]))
    assert set(figures_) == {"jobs_goodput", "jobs_p99", "guard_wrong_stream"}
    assert figures_["jobs_goodput"].value == pytest.approx(0.95)
    assert figures_["jobs_p99"].value == pytest.approx(1.2)
    assert "60.0 ÷ 50.0 ms; 0.990 of" in figures_["jobs_p99"].note


def test_kills_are_held_against_a_cold_load() -> None:
    kills = [Kill(1.0, 1.0, 0, 2), Kill(1.1, 1.0, 0, 1), Kill(9.0, 1.0, 1, 1)]
    figures_ = found(Measured(kills=kills))
    assert figures_["M9_time"].value == pytest.approx(1.1)
    assert (figures_["M9_sessions"].value, figures_["M9_sessions"].ok) == (1, False)


@pytest.mark.parametrize(
    ("rise", "noise", "flat"),
    [(0.0, 0.0, True), (0.4, 0.0, True), (3.0, 0.0, False), (3.0, 90.0, True)],
)
def test_ages_that_rise_beyond_doubt_are_growth(rise: float, noise: float, flat: bool) -> None:
    windows = tuple(
        Window(10.0 * i, 10, Ages(p99=50 + rise * i / 6 + noise * (-1) ** i)) for i in range(60)
    )
    long = Long(load_report(380, 50.0, 78.0, seconds=600.0, windows=windows), ())
    assert found(Measured(growth=long))["M4_growth"].ok is flat


def test_a_run_too_short_to_tell_growth_does_not_pass() -> None:
    assert not found(Measured(growth=Long(load_report(380, 50.0, 78.0), ())))["M4_growth"].ok


def test_memory_is_judged_once_it_has_settled() -> None:
    memory = tuple((60.0 * m, 100.0 + 50 * (m >= 2)) for m in range(20))
    assert memory_growth(memory).rise == pytest.approx(0.0)
    assert memory_growth(()).rise == 0.0
    leaking = tuple((60.0 * m, 100.0 + m / 6) for m in range(20))
    assert memory_growth(leaking).rise == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        ([], None),
        ([(9.0, 10.01)], None),  # due before the kill
        ([(10.5, 11.5)], None),  # late
        ([(10.9, 11.0), (10.5, 10.55)], 0.55),
    ],
)
def test_a_server_is_back_with_an_answer_in_time_to_a_new_frame(
    timeline: list[tuple[float, float]], expected: float | None
) -> None:
    assert first_after(timeline, killed_s=10.0, deadline_s=0.1) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("carries", "least", "most"), [(5.0, 0.0, 0.0), (30.0, 28.9, 30.0), (99.0, 40.0, 42.0)]
)
def test_the_search_closes_in_on_what_is_carried(carries: float, least: float, most: float) -> None:
    share: Callable[[float], float] = lambda total: 1.0 if total <= carries else IN_TIME - 0.01  # noqa: E731
    assert least <= bisect(share, 12.0, 42.0).total_fps <= most


@pytest.mark.parametrize(
    ("cores", "server", "generator"),
    [([], (), None), ([3], (3,), 3), ([0, 1], (0,), 1), ([0, 1, 2, 5], (0, 1, 2), 5)],
)
def test_the_last_core_sends_and_the_others_serve(
    cores: list[int], server: tuple[int, ...], generator: int | None
) -> None:
    shared = share_out(cores)
    assert (shared.server, shared.generator) == (server, generator)
    assert str(shared).endswith(".")


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ((), []),
        (("M9",), []),
        (("M3",), ["full", "twice"]),
        (GROUPS, ["one", "half", "full", "twice"]),
    ],
)
def test_only_the_loads_that_are_needed_run(only: tuple[str, ...], expected: list[str]) -> None:
    assert loads_for(frozenset(only)) == expected


def test_each_load_offers_its_share_of_the_roofline() -> None:
    shares = {name: sum(streams_for(name, 40.0)) / 40 for name in loads_for(frozenset(NEEDS))}
    assert shares == pytest.approx({"one": 0.5, "half": 0.5, "full": 1.15, "twice": 2.0})
    with pytest.raises(ValueError, match="thrice"):
        streams_for("thrice", 40.0)


def test_the_report_names_value_target_and_whether_it_is_reached(tmp_path: Path) -> None:
    measured = Measured([one_round()], accuracy=Accuracy(0.5, 0.5, 0.49, 3))
    rows = figures(measured)
    text = report.write(tmp_path, rows, report.context(PLAN, measured, "ab" * 32, 140_000.0))
    data = json.loads((tmp_path / "serving.json").read_text())
    assert data["M1"] == {
        "value": 0.95, "target": "≥ 0.9", "ok": True, "note": rows[0].note,
    }  # fmt: skip
    assert data["guard_accuracy"]["ok"] is False
    assert set(data) - {"context"} <= set(TARGETS)
    about = data["context"]
    assert (about["roofline_fps"], about["model_sha256"]) == (pytest.approx(40), "ab" * 32)
    assert about["E*"]["batch"] == 2
    assert "**missed**" in text
    assert "Not measured in this run: M4_growth, M8" in text
    assert (tmp_path / "serving.md").read_text() == text


def test_a_value_that_is_no_number_is_null(tmp_path: Path) -> None:
    text = report.as_json([Figure("M1", float("nan"), False)], {})
    assert json.loads(text)["M1"]["value"] is None


def test_many_streams_are_told_by_the_minute() -> None:
    timeline = tuple((100.0 + s, 100.0 + s + 0.05) for s in range(120))
    text = as_text(load_report(380, 50.0, 50.0, timeline=timeline, seconds=120.0), 40.0)
    assert "| 1 | 60 | 50.0 | 50.0 |" in text
    assert "| 2 | 60 | 50.0 | 50.0 |" in text
    assert "| 30.00 |" in text


def truth() -> dict[str, Any]:
    box = [10.0, 10.0, 40.0, 40.0]
    row = {"image_id": 1, "bbox": box, "area": 1600.0, "iscrowd": 0}
    return {
        "images": [{"id": 1, "width": 100, "height": 100}, {"id": 2, "width": 9, "height": 9}],
        "annotations": [
            {"id": 1, "category_id": 1, **row},
            {"id": 2, "category_id": 7, **row},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 7, "name": "kite"}],
    }


def test_accuracy_counts_the_classes_that_the_model_knows() -> None:
    known = known_truth(truth(), ("person", "face"), most=1)
    assert [row["id"] for row in known["annotations"]] == [1]
    right = {"image_id": 1, "category_id": 1, "bbox": [10.0, 10.0, 40.0, 40.0], "score": 0.9}
    assert average_precision_50(known, [right]) == pytest.approx(1.0)
    assert average_precision_50(known, [{**right, "bbox": [60.0, 60.0, 9.0, 9.0]}]) == 0.0
    assert average_precision_50(known, []) == 0.0


def test_pictures_without_the_model_s_classes_measure_nothing() -> None:
    with pytest.raises(BenchmarkError, match="classes"):
        known_truth(truth(), ("boat",))
