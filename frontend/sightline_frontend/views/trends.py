"""What the monitor page draws: which figures go together, and in which words."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sightline_frontend.figures import Figures
from sightline_frontend.views.charts import BLUE, GREEN, GREY, ORANGE, PURPLE, Chart, draw

GIB = 2.0**30

AGE = Chart(
    "Age of an answer, from capture, ms",
    {"half within (p50)": GREEN, "95 % within": BLUE, "99 % within": PURPLE, "deadline": ORANGE},
    limit="deadline",
    least_top=100.0,
    scale="sqrt",
)
STAGES = Chart(
    "Where a frame's time goes in the server, mean, ms",
    {
        "decode": PURPLE,
        "wait in line": ORANGE,
        "prepare": GREY,
        "infer": BLUE,
        "boxes": GREEN,
    },
    kind="stack",
    least_top=10.0,
)
ENDS = Chart(
    "Frames by how they ended, a second",
    {"answered": GREEN, "dropped": ORANGE, "refused": GREY, "failed": PURPLE},
    kind="stack",
    least_top=5.0,
)
DROPS = Chart(
    "Dropped frames by reason, a second",
    {"a newer one came": BLUE, "too late to matter": ORANGE, "stream closed": GREY},
    kind="stack",
)
BATCH = Chart("Pictures in one engine call, mean", {"pictures": BLUE}, least_top=2.0)
BUSY = {"engine": BLUE, "processors": GREEN}
GPU = {"GPU": PURPLE, "GPU memory": ORANGE}
CPU = Chart("Processors in use", {"server": GREEN, "engines": BLUE}, kind="stack")
MEMORY = Chart("Memory, GiB", {"server": GREEN, "engines": BLUE}, kind="stack")


def show_trends(seen: Figures, minutes: float) -> None:
    """Draw all charts over the last minutes, two beside each other where there is room."""
    if not seen.times:
        st.info("The first figures come in a moment.", icon=":material/hourglass_top:")
        return
    padded = _padded(seen, minutes)
    past = padded.over_time
    gpu = padded.known("gpu_share")
    drawn: list[tuple[Chart, list[Sequence[float | None]]]] = [
        (AGE, [past("age_p50_s", 1e3), past("age_p95_s", 1e3), past("age_p99_s", 1e3),
               past("deadline_s", 1e3)]),
        (STAGES, [past(f"{stage}_s", 1e3) for stage in
                  ("decode", "queue", "preprocess", "infer", "postprocess")]),
        (ENDS, [past(f"{end}_fps") for end in ("answered", "dropped", "refused", "failed")]),
        (DROPS, [past(f"{reason}_fps") for reason in ("superseded", "late", "closing")]),
        (Chart("In use, %", {**BUSY, **(GPU if gpu else {})}, least_top=100.0),
         [past("busy_share", 100), past("host_cpu_share", 100),
          *([past("gpu_share", 100), _gpu_memory(padded)] if gpu else [])]),
        (BATCH, [past("batch_size")]),
        (CPU, [past("server_cpu"), past("engines_cpu")]),
        (MEMORY, [past("server_memory_bytes", 1 / GIB), past("engines_memory_bytes", 1 / GIB)]),
    ]  # fmt: skip
    for left in range(0, len(drawn), 2):
        for column, (chart, values) in zip(
            st.columns(2, gap="medium"), drawn[left : left + 2], strict=True
        ):
            with column:
                draw(chart, padded.times, dict(zip(chart.colours, values, strict=True)))


def _padded(seen: Figures, minutes: float) -> Figures:
    """Let the axes begin `minutes` ago, though the detector may not have run that long."""
    start_s = seen.times[-1] - minutes * 60
    if seen.times[0] <= start_s + 5:
        return seen
    series = {name: [None, *values] for name, values in seen.series.items()}
    return Figures(seen.status, seen.trouble, seen.now, (start_s, *seen.times), series)


def _gpu_memory(seen: Figures) -> Sequence[float | None]:
    used, total = seen.over_time("gpu_memory_bytes"), seen.over_time("gpu_memory_total_bytes")
    return [
        100 * part / whole if part is not None and whole else None
        for part, whole in zip(used, total, strict=True)
    ]
