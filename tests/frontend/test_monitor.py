"""The monitor page: what it says of a detector that is well, late, starved or gone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sightline_frontend.backend import Backend, Health
from sightline_frontend.figures import Figures, Trouble
from sightline_frontend.settings import Settings
from sightline_frontend.views.charts import Chart, specification
from tests.frontend.fake_backend import free_port

NOW = {
    "answered_fps": 29.97,
    "streams": 1.0,
    "age_p95_s": 0.0623,
    "deadline_s": 0.5,
    "infer_s": 0.0213,
    "infer_p95_s": 0.004,
    "busy_share": 0.62,
    "capacity_fps": 48.2,
}
WELL = Figures(
    "healthy", (), NOW, (1000.0, 1002.0), {name: (None, value) for name, value in NOW.items()}
)
GPU = {
    "gpu_share": 0.4,
    "gpu_memory_bytes": 3 * 2.0**30,
    "gpu_memory_total_bytes": 16 * 2.0**30,
}


def troubled(*trouble: Trouble) -> Figures:
    return replace(WELL, status=trouble[0].code, trouble=trouble)


class Told(Backend):
    """A detector that tells what it is told to; None: it gives no figures."""

    def __init__(self, told: Figures | None) -> None:
        super().__init__("http://127.0.0.1:1", 1)
        self.told = told

    def health(self) -> Health:
        return Health(True, "fake", "fake", "fp32", "CPU", None)

    def figures(self, minutes: float) -> Figures | None:
        return self.told


class Odd(Backend):
    """Something that answers with other data than the detector does."""

    def __init__(self, data: Any) -> None:
        super().__init__("http://127.0.0.1:1", 1)
        self.data = data

    def _get(self, path: str) -> Any:
        return self.data


def script(settings: object, backend: object) -> None:
    from typing import Any, cast

    from sightline_frontend.views import monitor

    monitor.show(cast(Any, settings), cast(Any, backend))


def shown(backend: Backend, **settings: Any) -> AppTest:
    """Run the page; nothing on it may fail."""
    kwargs = {"settings": Settings(**settings), "backend": backend}
    app = AppTest.from_function(script, default_timeout=30, kwargs=kwargs).run()
    assert not app.exception
    return app


def badges(app: AppTest) -> list[str]:
    return [element.value for element in app.markdown if "-badge[" in element.value]


def words(app: AppTest) -> str:
    """The badges and sentences of the status."""
    return "\n".join((*badges(app), *(element.value for element in app.text)))


def figures(app: AppTest) -> Sequence[tuple[str, str, str]]:
    return [(tile.label, tile.value, tile.delta) for tile in app.metric]


def test_a_detector_that_is_well_is_called_healthy_with_its_numbers() -> None:
    app = shown(Told(WELL))
    assert "Healthy" in words(app)
    assert "30 frames a second answered, 1 stream open" in words(app)
    assert "62.3 ms" in words(app)
    assert figures(app) == [
        ("Frames answered", "30.0 fps", "1 stream"),
        ("Age of an answer, p95", "62.3 ms", "deadline 500 ms"),
        ("Inference, mean", "21.3 ms", "p95 4.0 ms"),
        ("Engine busy", "62%", "at best 48.2 fps"),
    ]


def test_a_gpu_takes_the_fourth_place() -> None:
    now = {**NOW, **GPU}
    series = {name: (value, value) for name, value in now.items()}
    app = shown(Told(replace(WELL, now=now, series=series)))
    assert figures(app)[3] == ("GPU in use", "40%", "3.0 of 16 GiB in use")


def test_a_detector_that_has_nothing_to_do_is_idle() -> None:
    app = shown(Told(Figures("idle", (), {}, (), {})))
    assert "Idle" in words(app)
    assert "no stream is open" in words(app)
    assert "first figures" in app.info[0].value
    assert {value for _, value, _ in figures(app)} == {"\N{EN DASH}"}


@pytest.mark.parametrize(
    ("code", "severity", "badge"),
    [
        ("late", "page", ":red-badge[:material/schedule: Late]"),
        ("dropping", "note", ":blue-badge[:material/filter_alt: Dropping]"),
        ("starved", "page", ":red-badge[:material/hourglass_empty: Starved]"),
        ("not_ready", "page", ":red-badge[:material/power_off: Not ready]"),
        ("refusing", "ticket", ":orange-badge[:material/block: Full]"),
        ("new_kind", "new", ":orange-badge[:material/warning: New kind]"),
    ],
)
def test_trouble_is_a_word_and_a_sentence(code: str, severity: str, badge: str) -> None:
    app = shown(Told(troubled(Trouble(code, severity, "Half of it is gone."))))
    assert badges(app) == [badge]
    assert [element.value for element in app.text] == ["Half of it is gone."]


def test_what_the_server_says_is_shown_as_it_is() -> None:
    message = "No /m/[cannot](http://127.0.0.1) *x* $a$ :red[y] :smile: <b>z</b>.onnx"
    app = shown(Told(troubled(Trouble("fallback", "ticket", message))))
    assert [element.value for element in app.text] == [message]
    assert not any("cannot" in element.value for element in app.markdown)


def test_all_that_is_wrong_is_listed() -> None:
    app = shown(Told(troubled(Trouble("late", "page", "A."), Trouble("gpu_hot", "ticket", "B."))))
    assert words(app).index("A.") < words(app).index("B.")


def test_the_tiles_lines_keep_the_times_without_figures_as_gaps() -> None:
    past = {"age_p95_s": (0.05, None, None, 0.06), "infer_s": (None,) * 4}
    app = shown(Told(replace(WELL, times=(0.0, 2.0, 4.0, 6.0), series=past)))
    lines = {tile.label: list(tile.proto.chart_data) for tile in app.metric}
    age = lines["Age of an answer, p95"]
    assert [math.isnan(one) for one in age] == [False, True, True, False]
    assert lines["Inference, mean"] == []


ANSWER = {
    "status": "late",
    "trouble": [{"code": "late", "severity": "page", "message": "Late."}],
    "now": {"streams": 1, "age_p95_s": None},
    "times": [1.0, 2],
    "series": {"streams": [None, 1], "age_p95_s": [None, None]},
}


def test_an_answer_is_read_with_its_gaps() -> None:
    seen = Figures.from_dict(ANSWER)
    assert (seen.status, seen.trouble) == ("late", (Trouble("late", "page", "Late."),))
    assert seen.now == {"streams": 1.0, "age_p95_s": None}
    assert (seen.times, seen.series["streams"]) == ((1.0, 2.0), (None, 1.0))


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param({}, id="empty"),
        pytest.param({**ANSWER, "now": {"streams": "2"}}, id="a number as text"),
        pytest.param({**ANSWER, "now": {"streams": True}}, id="a truth"),
        pytest.param({**ANSWER, "now": {"streams": math.nan}}, id="not a number"),
        pytest.param({**ANSWER, "now": {"streams": 10**400}}, id="a number beyond all bounds"),
        pytest.param({**ANSWER, "now": [1]}, id="figures without names"),
        pytest.param({**ANSWER, "times": [None, 1.0]}, id="a time that is nothing"),
        pytest.param({**ANSWER, "times": None}, id="no times"),
        pytest.param({**ANSWER, "series": {"streams": [1]}}, id="a series that is too short"),
        pytest.param({**ANSWER, "series": {"streams": None}}, id="a series that is nothing"),
        pytest.param({**ANSWER, "series": None}, id="no series"),
        pytest.param({**ANSWER, "status": "[x](y)"}, id="a status that is no word"),
        pytest.param({**ANSWER, "trouble": ["late"]}, id="trouble in other words"),
    ],
)
def test_odd_data_is_no_figures(odd: Any) -> None:
    assert Odd(odd).figures(5) is None


def test_a_detector_without_figures_is_no_endless_reload() -> None:
    app = shown(Told(None))
    assert "gives no figures" in app.warning[0].value
    assert not app.metric


def test_the_span_can_be_chosen() -> None:
    app = shown(Told(WELL))
    app.segmented_control[0].set_value("15 min").run()
    assert not app.exception
    assert app.segmented_control[0].value == "15 min"


@pytest.mark.parametrize("address", [None, "https://grafana.example.org"])
def test_grafana_is_linked_where_there_is_one(address: str | None) -> None:
    app = shown(Told(WELL), grafana_url=address)
    links = [button.proto.url for button in app.get("link_button")]
    assert links == ([] if address is None else [f"{address}/d/sightline-live"])
    assert "15 minutes" in app.caption[-1].value


def test_a_missing_detector_is_waited_for() -> None:
    backend = Backend(f"http://127.0.0.1:{free_port()}", 5)
    app = shown(backend)
    backend.close()
    assert "doesn't answer" in app.warning[0].value


def test_the_real_servers_figures_are_read(backend: Backend) -> None:
    seen = backend.figures(5)
    assert seen is not None
    assert set(seen.series) == set(seen.now)
    assert {"answered_fps", "age_p95_s", "infer_s", "busy_share", "gpu_share"} <= set(seen.now)
    app = shown(backend)
    assert [label for label, _, _ in figures(app)][:3] == [
        "Frames answered",
        "Age of an answer, p95",
        "Inference, mean",
    ]


def test_a_server_that_is_not_there_gives_none(absent_backend: Backend) -> None:
    assert absent_backend.figures(5) is None


def test_a_figure_that_an_older_server_lacks_is_nothing_at_all_times() -> None:
    assert WELL.over_time("unheard_of") == [None, None]
    assert WELL.over_time("busy_share", 100) == [None, 62.0]
    assert not WELL.known("unheard_of")


@pytest.mark.parametrize(
    ("kind", "figures", "said"),
    [
        ("line", {"yes": [], "no": []}, True),
        ("line", {"yes": [None, None], "no": [1.0, 1.0]}, True),  # a limit is always there
        ("line", {"yes": [None, 0.0], "no": [1.0, 1.0]}, False),
        ("stack", {"yes": [None, 0.0], "no": [1.0, 1.0]}, True),
        ("stack", {"yes": [0.0, 0.1], "no": [1.0, 1.0]}, False),
    ],
)
def test_a_chart_without_figures_says_so(
    kind: str, figures: dict[str, list[float | None]], said: bool
) -> None:
    def script(kind: str, figures: dict[str, list[float | None]]) -> None:
        from typing import Literal

        from sightline_frontend.views.charts import Chart, draw

        colours = {"yes": "#111111", "no": "#222222"}
        shape: Literal["stack", "line"] = "stack" if kind == "stack" else "line"
        chart = Chart("Frames, a second", colours, shape, limit="no")
        draw(chart, [1000.0 + at for at in range(len(figures["yes"]))], figures)

    app = AppTest.from_function(script, kwargs={"kind": kind, "figures": figures}).run()
    assert not app.exception
    heading = app.get("html")[0].proto.body
    assert ("nothing in this time" in heading) == said


@pytest.mark.parametrize("kind", ["line", "stack"])
def test_a_charts_specification_has_every_series_in_its_own_colour(kind: Any) -> None:
    chart = Chart("Frames, a second", {"yes": "#111111", "no": "#222222"}, kind, limit="no")
    encoding = specification(chart)["encoding"]
    scale = {"domain": ["yes", "no"], "range": ["#111111", "#222222"]}
    assert encoding["color"]["scale"] == scale
    assert specification(chart) == specification(chart), "the browser then keeps what is drawn"
