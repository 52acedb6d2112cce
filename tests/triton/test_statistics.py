"""What is made of Triton's statistics and of its page of metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.errors import EngineAwayError
from sightline_engines.triton.gpu_figures import GpuFigures, gpu_figures
from sightline_engines.triton.metrics_page import Sample, fetch_metrics, read_metrics
from sightline_engines.triton.statistics import (
    ModelStatistics,
    Percentiles,
    Spent,
    read_percentiles,
    read_statistics,
)

PAGE = """# HELP nv_inference_request_summary_us Summary
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us_count{model="m",version="1"} 264
nv_inference_request_summary_us{model="m",version="1",quantile="0.5"} 489
nv_inference_request_summary_us{model="m",version="1",quantile="0.95"} 4731
nv_inference_request_summary_us{model="m",version="1",quantile="0.99"} 19781
nv_inference_request_summary_us{model="idle",version="1",quantile="0.5"} nan
nv_gpu_utilization{gpu_uuid="GPU-b"} 0.25
nv_gpu_memory_used_bytes{gpu_uuid="GPU-b"} 1.5e9
nv_gpu_memory_total_bytes{gpu_uuid="GPU-b"} 8e9
nv_gpu_power_usage{gpu_uuid="GPU-a"} 71.5
"""


def test_statistics_of_a_model_are_read_as_the_server_has_them() -> None:
    told = {
        "name": "m",
        "version": "3",
        "last_inference": 1_700_000_000_500,
        "inference_count": 12,
        "execution_count": 5,
        "inference_stats": {
            "success": {"count": 4, "ns": 8_000_000},
            "fail": {"count": 1, "ns": 5},
            "queue": {"count": 4, "ns": 2_000_000},
            "compute_infer": {"count": 4, "ns": 4_000_000},
        },
        "batch_stats": [
            {"batch_size": 8, "compute_infer": {"count": 1, "ns": 3}},
            {"batch_size": 1, "compute_infer": {"count": 4, "ns": 1}},
        ],
    }
    found = read_statistics([told])["m", "3"]
    assert (found.inferences, found.executions, found.requests, found.failures) == (12, 5, 5, 1)
    assert found.success_rate == 0.8
    assert found.mean_ms == {
        "request": 2.0, "queue": 0.5, "input": None, "infer": 1.0, "output": None,
    }  # fmt: skip
    assert found.batch_sizes == {"1": 4, "8": 1}
    assert found.last_inference_at == 1_700_000_000.5


@pytest.mark.parametrize("told", [{}, {"inference_stats": {}}, {"batch_stats": []}])
def test_a_model_that_was_never_asked_has_no_means(told: dict[str, Any]) -> None:
    found = read_statistics([{"name": "m", **told}])["m", ""]
    assert (found.requests, found.success_rate, found.last_inference_at) == (0, None, None)
    assert set(found.mean_ms.values()) == {None}


counts = st.integers(0, 10**6)


def _statistics(parts: tuple[int, int, int, int]) -> ModelStatistics:
    count, executions, failures, ns = parts
    spent = {"request": Spent(count, ns)}
    batches = {4: executions} if executions else {}
    return ModelStatistics(4 * count, executions, count, failures, spent, batches)


@given(st.tuples(counts, counts, counts, counts), st.tuples(counts, counts, counts, counts))
def test_what_came_between_two_readings_is_their_difference(
    early: tuple[int, int, int, int], more: tuple[int, int, int, int]
) -> None:
    before = _statistics(early)
    after = _statistics(
        (early[0] + more[0], early[1] + more[1], early[2] + more[2], early[3] + more[3])
    )
    assert after.since(before) == _statistics(more)


def test_counts_that_began_anew_are_taken_whole() -> None:
    before, after = _statistics((10, 10, 0, 9)), _statistics((3, 3, 0, 4))
    assert after.since(before) == after


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("", []),
        ("# TYPE a counter\n\n", []),
        ("a 1", [Sample("a", {}, 1.0)]),
        ("a{} 1e3 1700000000", [Sample("a", {}, 1000.0)]),
        ('a{b="c\\"}d\\\\",e="f"} 2', [Sample("a", {"b": 'c"}d\\', "e": "f"}, 2.0)]),
        ("a one", []),
        ("not a line at all", []),
    ],
)
def test_lines_of_the_metrics_page(text: str, samples: list[Sample]) -> None:
    assert list(read_metrics(text)) == samples


def test_percentiles_and_gpus_are_found_on_the_page() -> None:
    samples = list(read_metrics(PAGE))
    assert read_percentiles(samples) == {("m", "1"): Percentiles(0.489, 4.731, 19.781)}
    assert gpu_figures(samples) == (
        GpuFigures("GPU-a", power_watts=71.5),
        GpuFigures("GPU-b", use=0.25, memory_bytes=1.5e9, memory_total_bytes=8e9),
    )
    assert read_percentiles([]) == {}
    assert gpu_figures([]) == ()


class _Page(BaseHTTPRequestHandler):
    drip: ClassVar[bool] = False

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/nothing" else 200)
        self.end_headers()
        if self.path == "/drip":
            for _ in range(100):
                try:
                    self.wfile.write(b"# slow\n")
                except OSError:
                    return
                time.sleep(0.1)
        self.wfile.write((PAGE[:-3] if self.path == "/cut" else PAGE).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_page_is_fetched_or_given_up_in_time() -> None:
    with _serving() as url:
        assert len(fetch_metrics(f"{url}/metrics", 5.0)) == len(list(read_metrics(PAGE)))
        cut = fetch_metrics(f"{url}/cut", 5.0)  # half a line has half a number
        assert len(cut) == len(list(read_metrics(PAGE))) - 1
        for path in ("nothing", "drip"):
            with pytest.raises(EngineAwayError, match=f"{url}/{path}"):
                fetch_metrics(f"{url}/{path}", 0.5)
    for gone in (url, "file:///etc/passwd", ""):
        with pytest.raises(EngineAwayError, match="can't be read"):
            fetch_metrics(gone, 0.5)
