"""Quantiles by buckets, beside those of the real Prometheus."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline_monitoring.quantile import histogram_quantile
from tests.conftest import missing

Buckets = list[tuple[float, float]]
INF = math.inf
SHARES = (0.0, 0.01, 0.5, 0.95, 0.99, 1.0)


@st.composite
def histograms(draw: st.DrawFn) -> Buckets:
    """Return cumulative buckets, some of them empty, the last one infinite."""
    bounds = draw(st.lists(st.integers(-5, 10_000), min_size=1, max_size=12, unique=True))
    inside = draw(
        st.lists(st.integers(0, 1000), min_size=len(bounds) + 1, max_size=len(bounds) + 1)
    )
    total, buckets = 0, []
    for bound, count in zip([*sorted(bounds), None], inside, strict=True):
        total += count
        buckets.append((INF if bound is None else bound / 1000, float(total)))
    return buckets


@pytest.mark.parametrize(
    ("share", "buckets", "value"),
    [
        pytest.param(0.5, [(1, 0), (INF, 0)], None, id="nothing observed"),
        pytest.param(0.5, [(1, 10), (INF, 10)], 0.5, id="the first bucket begins at zero"),
        pytest.param(0.5, [(1, 0), (2, 10), (INF, 10)], 1.5, id="linear inside a bucket"),
        pytest.param(0.5, [(1, 5), (2, 10), (INF, 10)], 1.0, id="on a bound"),
        pytest.param(0.5, [(1, 2), (INF, 10)], 1.0, id="the infinite bucket: the last bound"),
        pytest.param(0.5, [(-1, 5), (1, 5), (INF, 5)], -1, id="a first bound below zero"),
        pytest.param(0.0, [(1, 0), (2, 3), (INF, 3)], None, id="none at share 0 in an empty one"),
        pytest.param(1.0, [(1, 1), (2, 3), (INF, 3)], 2.0, id="all at share 1"),
    ],
)
def test_quantiles_follow_the_rules(share: float, buckets: Buckets, value: float | None) -> None:
    assert histogram_quantile(share, buckets) == value


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_beyond_its_range_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        histogram_quantile(share, [(1, 1), (INF, 1)])


@pytest.mark.parametrize("buckets", [[], [(INF, 3)], [(1, 3), (2, 3)]])
def test_what_is_no_histogram_is_an_error(buckets: Buckets) -> None:
    with pytest.raises(ValueError, match="finite bucket"):
        histogram_quantile(0.5, buckets)


@given(histograms())
def test_quantiles_rise_and_stay_within_the_finite_bounds(buckets: Buckets) -> None:
    values = [histogram_quantile(share, buckets) for share in (0.1, 0.5, 0.9, 0.99)]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert all(min(0.0, buckets[0][0]) <= value <= buckets[-2][0] for value in known)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(histograms(), min_size=10, max_size=10))
def test_the_real_prometheus_gives_the_same(tmp_path: Path, found: list[Buckets]) -> None:
    if shutil.which("promtool") is None:
        missing("no promtool on PATH; Debian's package prometheus has it")
    (tmp_path / "rules.yml").write_text("groups: []\n")
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [_as_test(buckets) for buckets in found],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _as_test(buckets: Buckets) -> dict[str, object]:
    """Return promtool's test that its quantiles of these buckets are ours."""
    series = [
        {"series": f'h_bucket{{le="{_bound(bound)}"}}', "values": f"{count:.0f}"}
        for bound, count in buckets
    ]
    expected = [(share, histogram_quantile(share, buckets)) for share in SHARES]
    return {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {
                # NaN is filtered out: promtool would not find it equal to itself.
                "expr": f"histogram_quantile({share}, h_bucket) > -Inf",
                "eval_time": "0m",
                "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
            }
            for share, value in expected
        ],
    }


def _bound(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else repr(float(bound))
