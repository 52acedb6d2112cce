"""Settings of a model's config, which one is the best, and perf_analyzer's report."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.errors import ProviderError
from sightline_engines.triton.bench.choice import Limit, Tried, choose
from sightline_engines.triton.bench.figures import Failures, Latency, Measured
from sightline_engines.triton.bench.options import BenchOptions, Closed, Count, Open, Stable
from sightline_engines.triton.bench.perf_analyzer import command, find, input_data, parse
from sightline_engines.triton.bench.setting import Setting, apply, setting_of
from sightline_engines.triton.bench.sweep import SweepOptions
from sightline_engines.triton.config import config_text, read_config

ONE, TWO, FOUR = Setting(1), Setting(2), Setting(4)
REPORT = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,"
    "Server Compute Input,Server Compute Infer,Server Compute Output,Client Recv,p50 latency,"
    "p90 latency,p95 latency,p99 latency,Avg latency,request/response,response wait\n"
    "4,52.7331,98,6106,26306,320,40529,1594,3,70552,93562,108895,137007,74959,101,74858\n"
)


def measured(
    rate: float, ms: float, failed: int = 0, complete: bool = True, keeps_rate: bool = True
) -> Measured:
    return Measured(
        model="m",
        load="4 in flight",
        sends="images",
        batch=1,
        complete=complete,
        stable=True,
        remark="",
        windows=(),
        counted=3,
        seconds=3.0,
        requests=round(rate * 3),
        requests_per_s=rate,
        pictures_per_s=rate,
        latency_ms=Latency(ms, 0.0, ms, ms, ms, ms, ms),
        failures=(Failures("internal", failed, "x"),) if failed else (),
        sent_late=0,
        server=(),
        keeps_rate=keeps_rate,
    )


def tried(setting: Setting, rate: float, ms: float, **more: Any) -> Tried:
    return Tried(setting, measured(rate, ms, **more))


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ([], None),
        ([Tried(ONE, None, "refused")], None),
        ([tried(ONE, 100, 31)], None),
        ([tried(ONE, 100, 30)], ONE),
        ([tried(ONE, 100, 20), tried(TWO, 150, 25)], TWO),
        ([tried(ONE, 100, 20), tried(TWO, 150, 31)], ONE),
        ([tried(ONE, 100, 20), tried(TWO, 150, 25, failed=1)], ONE),
        ([tried(ONE, 100, 20), tried(TWO, 150, 25, complete=False)], ONE),
        ([tried(ONE, 100, 20), tried(TWO, 150, 25, keeps_rate=False)], ONE),
        # as good as the best: the present one, else fewer instances
        ([tried(ONE, 100, 20), tried(TWO, 101, 20)], ONE),
        ([tried(FOUR, 151, 20), tried(ONE, 100, 20), tried(TWO, 150, 20)], TWO),
        ([tried(TWO, 100, 20), tried(Setting(2, (4,)), 100, 20)], TWO),
        ([tried(Setting(2, (), 900), 100, 20), tried(Setting(2, (), 100), 100, 20)], "short"),
    ],
)
def test_the_fastest_setting_within_the_limit_is_chosen(
    found: list[Tried], best: Setting | str | None
) -> None:
    choice = choose(found, ONE, Limit(30.0))
    assert choice.best == (Setting(2, (), 100) if best == "short" else best)
    assert choice.reasons


RATES = st.lists(st.tuples(st.floats(1, 1000), st.floats(1, 100)), min_size=1, max_size=8)


@settings(deadline=None)
@given(RATES, st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_and_keeps_the_limit(
    figures: list[tuple[float, float]], chance: object
) -> None:
    found = [tried(Setting(n + 1), rate, ms) for n, (rate, ms) in enumerate(figures)]
    limit = Limit(50.0, "p95")
    choice = choose(found, ONE, limit)
    chance.shuffle(found)  # type: ignore[attr-defined]
    assert choose(found, ONE, limit).best == choice.best
    fitting = {one.setting: one.pictures_per_s for one in found if one.fits(limit)}
    assert (choice.best in fitting) == bool(fitting)
    if choice.best is not None:
        assert fitting[choice.best] >= 0.98 * max(fitting.values())


def test_where_nothing_keeps_the_limit_the_nearest_is_named() -> None:
    choice = choose([tried(ONE, 100, 40), tried(TWO, 100, 35)], ONE, Limit(30.0))
    assert choice.reasons[1] == f"The quickest was {TWO} with a p99 of 35.0 ms."


def test_the_reasons_say_what_is_gained() -> None:
    choice = choose([tried(ONE, 100, 20), tried(TWO, 150, 25)], ONE, Limit(30.0))
    assert choice.reasons[-1] == f"+50% over the present {ONE}."


CONFIG = """
name: "m"
max_batch_size: 8
input [{name: "x" data_type: TYPE_FP32 dims: [-1]}]
instance_group [{kind: KIND_GPU count: 1 gpus: [0, 1]}]
dynamic_batching {preferred_batch_size: [4] default_queue_policy {max_queue_size: 9}}
"""


@settings(deadline=None)
@given(
    st.builds(
        Setting,
        st.integers(1, 64),
        st.sets(st.integers(1, 8), max_size=4).map(lambda sizes: tuple(sorted(sizes))),
        st.integers(0, 10_000),
    )
)
def test_a_setting_that_was_applied_is_read_back_and_all_else_stays(setting: Setting) -> None:
    before = read_config(CONFIG)
    after = read_config(config_text(apply(before, setting, "m")))
    assert setting_of(after) == setting
    assert apply(after, setting_of(before), "m") == before


def test_a_config_without_groups_and_batching_gets_what_it_needs() -> None:
    bare = read_config("max_batch_size: 4")
    assert setting_of(bare) == Setting(1)
    assert not apply(bare, TWO, "m").HasField("dynamic_batching")
    assert setting_of(apply(bare, Setting(2, (2, 4), 100), "m")) == Setting(2, (2, 4), 100)


@pytest.mark.parametrize(
    ("text", "setting", "said"),
    [
        ("", Setting(1, (4,)), "takes no batches"),
        ("", Setting(1, (), 100), "takes no batches"),
        ("max_batch_size: 8", Setting(1, (16,)), "batches of 1 to 8"),
    ],
)
def test_what_a_model_can_not_have_is_said(text: str, setting: Setting, said: str) -> None:
    with pytest.raises(ProviderError, match=said):
        apply(read_config(text), setting, "m")


def test_the_present_setting_is_tried_first_and_none_twice() -> None:
    options = SweepOptions(
        Path("models"), BenchOptions("here:1", "m"), Limit(30.0), (1, 2), ((), (4,)), (0, 100)
    )
    found = options.settings(Setting(2, (4,), 100))
    assert found[0] == Setting(2, (4,), 100)
    assert len(found) == len(set(found)) == 8


def test_the_report_of_perf_analyzer_is_read() -> None:
    peer = parse(REPORT)
    assert (peer.pictures_per_s, peer.mean_ms, peer.p99_ms) == (52.7331, 74.959, 137.007)
    assert (peer.queue_ms, peer.input_ms, peer.infer_ms) == (26.306, 0.32, 40.529)
    assert peer.ratio(measured(52.7331 * 0.97, 75)) == pytest.approx(0.97)


@pytest.mark.parametrize(
    "text",
    [
        "",
        REPORT.splitlines()[0],
        REPORT + REPORT.splitlines()[1],
        REPORT.replace("p99", "p98"),
        REPORT.replace("52.7331", "many"),
    ],
)
def test_a_report_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ProviderError, match="can't be read"):
        parse(text)


def test_perf_analyzer_is_asked_for_the_same() -> None:
    options = BenchOptions(
        "here:1", "m", load=Closed(4), until=Stable(2.0, 0.2, 5), batch=3, shapes={"x": (3, 4)}
    )
    text = " ".join(command(options, Path("report.csv")))
    for part in ("-m m -u here:1 -i grpc", "--concurrency-range 4", "-b 3 -p 2000 -s 20 -r 5"):
        assert part in text
    assert "--shape x:3,4" in text
    load = Open(20.0, "poisson", 7)
    text = " ".join(command(BenchOptions("h:1", "m", load=load, until=Count(5)), Path("r.csv")))
    assert "--request-rate-range 20 --request-distribution poisson --max-threads 7" in text


def test_pictures_travel_in_base64_behind_their_length() -> None:
    (one,) = json.loads(input_data("IMAGE_BYTES", [b"jpeg"]))["data"]
    content = one["IMAGE_BYTES"]["content"]["b64"]
    assert base64.b64decode(content) == b"\x04\x00\x00\x00jpeg"


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="--perf-analyzer PATH"):
        find(tmp_path / "perf_analyzer")
