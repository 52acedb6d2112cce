"""The component's own scripts, unit by unit, and that they agree with their Python halves."""

from __future__ import annotations

import random
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from sightline_engines import wire
from sightline_engines.types import Timings
from sightline_frontend.client import backoff_s
from sightline_frontend.jargon import plainly
from sightline_frontend.pacing import Pacer
from sightline_frontend.stats import FrameName, LiveStats, Window
from tests.browser.conftest import Site
from tests.frontend.test_jargon import SAID

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def script(browser: Browser, site: Site) -> Any:
    """Return a function that runs JavaScript with the component's modules at hand."""
    page: Page = browser.new_page()
    page.goto(f"{site.address}/live")
    frame = page.locator(".st-key-live-direct iframe")
    source = frame.get_attribute("src", timeout=30_000)
    assert source is not None
    page.goto(source.split("?")[0])

    def run(module: str, expression: str, argument: object = None) -> Any:
        code = f"async (argument) => {{ const m = await import('./{module}.js'); {expression} }}"
        return page.evaluate(code, argument)

    yield run
    page.close()


@pytest.mark.parametrize(
    ("seq", "captured_us", "age_ms", "age_read"),
    [
        (0, 0, 0, 0),
        (7, 1_763_700_000_123_456, 41.6, 42),
        (2**32 - 1, 2**53 - 1, 1e9, 65_535),
        (2**32, 1, -5, 0),
    ],
)
def test_frames_are_read_by_the_server_as_they_were_written(
    script: Any, seq: int, captured_us: int, age_ms: float, age_read: int
) -> None:
    frame = {"seq": seq, "capturedUs": captured_us, "ageMs": age_ms}
    data = script(
        "wire",
        "const b = new ArrayBuffer(m.HEADER_BYTES + 3);"
        "new Uint8Array(b).set([1, 2, 3], m.HEADER_BYTES);"
        "m.writeHeader(b, argument); return [...new Uint8Array(b)];",
        frame,
    )
    packet = wire.decode_frame(bytes(data))
    assert (packet.seq, packet.captured_us) == (seq % 2**32, captured_us)
    assert packet.age_ms == age_read
    assert bytes(packet.payload) == b"\1\2\3"
    assert script("wire", "return m.SUBPROTOCOL") == wire.SUBPROTOCOL


@pytest.mark.parametrize(
    ("size", "limit", "fitted"),
    [
        ([64, 48], [64, 48], [64, 48]),
        ([320, 240], [416, 416], [320, 240]),
        ([1280, 720], [416, 416], [416, 234]),
        ([720, 1280], [416, 416], [234, 416]),
        ([5000, 1], [416, 416], [416, 1]),
    ],
)
def test_pictures_shrink_to_what_the_model_sees_and_never_grow(
    script: Any, size: list[int], limit: list[int], fitted: list[int]
) -> None:
    assert script("wire", "return m.fitInto(...argument)", [size, limit]) == fitted


def test_both_pacers_decide_alike(script: Any) -> None:
    rng = random.Random(4)
    steps = [
        [rng.choice([1, 33, 500]), rng.random() < 0.5, rng.uniform(1, 300)] for _ in range(400)
    ]
    in_browser = script(
        "pace",
        """const pacer = new m.Pacer(2); const waiting = []; let now = 0;
        return argument.map(([pause, answer, cost], seq) => {
            now += pause;
            if (answer && waiting.length) pacer.ended(waiting.shift(), { total: cost });
            const ready = pacer.ready(now);
            if (ready) { pacer.sent(seq, now); waiting.push(seq); }
            return ready;
        });""",
        steps,
    )
    pacer, now_ms, waiting, here = Pacer(2), 0.0, list[int](), list[bool]()
    for seq, (pause, answer, cost) in enumerate(steps):
        now_ms += pause
        if answer and waiting:
            pacer.ended(waiting.pop(0), Timings(total=cost))
        here.append(pacer.ready(now_ms / 1e3))
        if here[-1]:
            pacer.sent(seq, now_ms / 1e3)
            waiting.append(seq)
    differing = sum(a != b for a, b in zip(here, in_browser, strict=True))
    assert differing <= 4, "ties may fall either way by rounding of seconds to milliseconds"


@pytest.mark.parametrize("values", [[], [5], [3, 1, 2], list(range(100))])
def test_both_windows_count_alike(script: Any, values: list[int]) -> None:
    in_browser = script(
        "stats",
        "const w = new m.Window(5000); argument.forEach((v, i) => w.add(i * 100, v));"
        "const end = Math.max(0, argument.length - 1) * 100;"
        "return [w.rate(end), w.quantile(0.5), w.quantile(0.95), w.mean()];",
        values,
    )
    window = Window(5.0)
    for index, value in enumerate(values):
        window.add(index / 10, value)
    end_s = max(0, len(values) - 1) / 10
    here = [window.rate(end_s), window.quantile(0.5), window.quantile(0.95), window.mean()]
    assert in_browser == [pytest.approx(v) if v is not None else None for v in here]


@pytest.mark.parametrize("ages", [[], [5], [50, 212, 60], [7, 7], [300] + [1] * 60])
def test_both_name_the_same_slowest_frame(script: Any, ages: list[float]) -> None:
    stream = "3fa9c2" * 4
    in_browser = script(
        "stats",
        """const stats = new m.LiveStats(); const timings = { total: 0 };
        argument[1].forEach((ageMs, seq) => stats.result(seq * 100, {
            ageMs, encodeMs: 0, roundTripMs: 0, timings,
            frame: { stream: argument[0], seq, traced: false },
        }));
        return stats.snapshot(argument[1].length * 100).slowest;""",
        [stream, ages],
    )
    stats = LiveStats()
    for seq, age_ms in enumerate(ages):
        stats.drawn(seq / 10, age_ms, FrameName(stream, seq, traced=False))
    assert in_browser == stats.snapshot(len(ages) / 10)["slowest"]


@pytest.mark.parametrize("seq", [0, 420, 2**31, 2**32 - 1, 2**32])
def test_both_make_the_same_id_of_a_frame(script: Any, seq: int) -> None:
    stream = "3fa9c2" * 4
    found = script("strip", "return m.frameId(argument)", {"stream": stream, "seq": seq})
    assert found == wire.frame_id(stream, seq)


def test_both_wait_alike_before_they_try_again(script: Any) -> None:
    waits = script("connection", "return [0, 1, 2, 3, 9, 1e6].map(m.backoffMs)")
    assert waits == [pytest.approx(backoff_s(n) * 1e3) for n in (0, 1, 2, 3, 9, 10**6)]


@pytest.mark.parametrize(
    ("backend", "page", "url"),
    [
        ({"port": 8000}, "http://localhost:8501", "ws://localhost:8000/ws/detect"),
        ({"port": 9000}, "http://192.0.2.7:8501", "ws://192.0.2.7:9000/ws/detect"),
        ({"port": 8000}, "https://cams.test", "wss://cams.test:8000/ws/detect"),
        ({"port": 8000}, "http://[::1]:8501", "ws://[::1]:8000/ws/detect"),
        (
            {"port": 8000, "publicUrl": "https://cams.test/api"},
            "https://cams.test",
            "wss://cams.test/api/ws/detect",
        ),
        ({"port": 1, "publicUrl": "http://d:2"}, "http://localhost:8501", "ws://d:2/ws/detect"),
    ],
)
def test_the_detector_is_looked_for_where_the_page_came_from(
    script: Any, backend: dict[str, object], page: str, url: str
) -> None:
    found = script(
        "connection", "return m.backendUrl(argument[0], new URL(argument[1]))", [backend, page]
    )
    assert found == url


@pytest.mark.parametrize(
    ("boxes", "size", "scaled"),
    [
        ([], [200, 100], []),
        ([[10, 20, 30, 40]], [200, 100], [[20, 20, 60, 40]]),
        ([[0, 0, 100, 100]], [50, 300], [[0, 0, 50, 300]]),
    ],
)
def test_boxes_are_scaled_to_the_shown_picture(
    script: Any, boxes: list[list[float]], size: list[int], scaled: list[list[float]]
) -> None:
    result = {"image": {"width": 100, "height": 100}, "detections": [{"xyxy": b} for b in boxes]}
    found = script(
        "draw", "return m.scaleBoxes(...argument).map((found) => found.xyxy)", [result, size]
    )
    assert found == scaled


@pytest.mark.parametrize(
    ("image", "video", "same"),
    [
        ([416, 234], [1280, 720], True),
        ([416, 235], [1280, 720], True),
        ([234, 416], [1280, 720], False),
    ],
)
def test_boxes_from_before_a_rotation_are_not_drawn(
    script: Any, image: list[int], video: list[int], same: bool
) -> None:
    result = {"image": {"width": image[0], "height": image[1]}}
    assert script("draw", "return m.sameShape(...argument)", [result, video]) is same


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("NotAllowedError", "The camera is blocked"),
        ("SecurityError", "The camera is blocked"),
        ("NotFoundError", "No camera found"),
        ("NotReadableError", "The camera is busy"),
        ("AbortError", "The camera is busy"),
        ("TypeError", "The camera could not be started"),
    ],
)
def test_each_error_of_the_camera_has_words_of_its_own(script: Any, name: str, title: str) -> None:
    shown = script(
        "messages", "return m.cameraMessage({ name: argument, message: 'so it is' })", name
    )
    assert shown["title"] == title
    assert shown["text"].endswith(".")


@pytest.mark.parametrize("text", [text for text, _ in SAID])
def test_both_put_a_connection_s_end_plainly(script: Any, text: str) -> None:
    assert script("messages", "return m.plainly(argument)", text) == plainly(text)


AWAY, LATE, ANSWER = "away", "late", "answer"
A_WHILE = range(0, 6000, 500)


@pytest.mark.parametrize(
    ("events", "at_ms", "state"),
    [
        ([], 60_000, None),
        ([(t, ANSWER) for t in A_WHILE], 60_000, None),
        ([(0, AWAY)], 100, None),  # one frame is no trouble
        ([(t, AWAY) for t in A_WHILE], 6_000, "No boxes"),
        ([(t, AWAY) for t in A_WHILE], 12_000, "Waiting"),
        ([(t, AWAY) for t in A_WHILE] + [(t + 6000, LATE) for t in A_WHILE], 12_000, "Waiting"),
        ([(t, AWAY) for t in A_WHILE] + [(7_000, ANSWER)], 7_000, None),
        ([(t, AWAY) for t in A_WHILE] + [(7_000, ANSWER), (13_000, LATE)], 13_000, "Waiting"),
        ([(t, AWAY) for t in A_WHILE] + [(40_000, LATE)], 40_000, "Too slow"),
        ([(t, LATE) for t in A_WHILE], 6_000, "Too slow"),
        ([(t, LATE) for t in A_WHILE], 60_000, None),
        ([(0, LATE), (5_500, ANSWER)], 6_000, None),
        ([(t, "engine_failed") for t in A_WHILE], 6_000, "No boxes"),
        ([(t, "engine_failed") for t in A_WHILE] + [(6_000, ANSWER)], 6_000, None),
    ],
)
def test_the_trouble_shown_is_the_one_that_keeps_boxes_away(
    script: Any, events: list[tuple[int, str]], at_ms: int, state: str | None
) -> None:
    found = script(
        "trouble",
        """const trouble = new m.Trouble(0);
        for (const [ms, event] of argument[0]) {
            if (event === "answer") trouble.answered(ms);
            else if (event === "late") trouble.dropped(ms, event);
            else {
                const code = event === "away" ? "engine_away" : event;
                trouble.frameFailed(ms, { code, message: "It is down." });
            }
        }
        return trouble.due(argument[1]);""",
        [events, at_ms],
    )
    assert (found and found["state"]) == state
    if state == "No boxes" and (0, AWAY) in events:
        assert "Serve live video without Triton" in found["text"]
        assert "SIGHTLINE_TRITON_FALLBACK" in found["text"]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (None, ""),
        ({"engine": "triton", "device": "Triton a:8001", "fallback": None}, ""),
        (
            {"engine": "onnxruntime", "device": "CPU", "fallback": "Triton is away."},
            "Fallback: onnxruntime on CPU",
        ),
    ],
)
def test_the_picture_says_when_a_fallback_answers(script: Any, model: Any, shown: str) -> None:
    found = script(
        "strip",
        """const note = document.createElement("p");
        m.showFallback(note, { engine: "x", device: "y", fallback: "z" });
        m.showFallback(note, argument);
        return [note.hidden, note.textContent, note.title];""",
        model,
    )
    assert found == [not shown, shown, (model or {}).get("fallback") or ""]
