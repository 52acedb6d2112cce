"""Histogram buckets: fine enough that a quantile read from them is off by a few per cent."""

from __future__ import annotations

# Preferred numbers of the series R10 (ISO 3), a quarter apart: 0.5 ms to 10 s.
_R10 = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
LATENCY_BUCKETS_S = tuple(
    round(step * 10**power, 7)
    for power in range(-4, 2)
    for step in _R10
    if 0.0005 <= round(step * 10**power, 7) <= 10
)
# Each handler and method has these, so there are few.
HTTP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
# From a conversion of a small model to a TensorRT build and an evening's pipeline.
JOB_BUCKETS_S = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800, 21600)
