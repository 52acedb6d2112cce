"""The deploy page before a played detector with a played Triton."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sightline_frontend.views.tiles import NOTHING
from tests.frontend.fake_api import FakeApi
from tests.frontend.fake_triton import FakeTriton, server_model, statistics
from tests.frontend.page import deploy_script, keys, opened, words


def through(engine: str) -> list[dict[str, Any]]:
    return [{"model": "people", "version": 1, "artefact_id": 1, "format": "onnx", "streams": 2,
             "precision": "fp32", "engine": engine, "shadow": None}]  # fmt: skip


def table(app: AppTest, number: int) -> list[dict[str, Any]]:
    return [dict(row) for row in app.dataframe[number].value.to_dict("records")]


def shown(app: AppTest) -> dict[str, tuple[str, str]]:
    return {tile.label: (tile.value, tile.delta) for tile in app.metric}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, "Triton 2.51.0 at triton:8001 (gRPC) is ready; no model is loaded."),
        ({"protocol": "http"}, "(HTTP) is ready"),
        (
            {"configured": False, "live": False, "why_not": "SIGHTLINE_TRITON_GRPC_URL isn't set"},
            "SIGHTLINE_TRITON_GRPC_URL isn't set.",
        ),
        (
            {"live": False, "ready": False, "trouble": "Nothing listens at triton:8001"},
            "Nothing listens at triton:8001. This page goes on by itself as soon as it answers.",
        ),
        ({"ready": False}, "Triton lives at triton:8001 (gRPC). It is still starting."),
        ({"can_deploy": False, "why_not_deploy": "No folder is shared"}, "No folder is shared."),
    ],
)
def test_how_triton_is_is_said_in_a_sentence(
    fake: FakeApi, triton: FakeTriton, facts: dict[str, Any], says: str
) -> None:
    triton.facts = facts
    with opened(deploy_script, fake) as app:
        assert says in words(app)
        can = facts.get("configured", True) and facts.get("live", True)
        form = bool(can and facts.get("can_deploy", True))
        assert ("deploy-start" in keys(app)) == form


def test_who_has_no_triton_is_told_how_to_start_one(fake: FakeApi, triton: FakeTriton) -> None:
    triton.facts = {"configured": False, "live": False, "can_deploy": False}
    with opened(deploy_script, fake) as app:
        assert "sightline triton serve --program" in app.code[0].value
        assert "SIGHTLINE_TRITON_GRPC_URL" in words(app)


def test_a_detector_that_knows_no_triton_refuses_in_its_own_words(fake: FakeApi) -> None:
    fake.triton = None
    with opened(deploy_script, fake) as app:
        assert "There is no /api/triton." in app.error[0].value


def test_a_detector_that_is_not_there_is_waited_for(fake: FakeApi) -> None:
    fake.refusals["GET /health"] = "no"
    with opened(deploy_script, fake) as app:
        assert "doesn't answer" in words(app)


def test_a_card_shows_how_a_deployment_does(fake: FakeApi, triton: FakeTriton) -> None:
    triton.deploy("people")
    triton.figures["people__1__detector"] = statistics(4200, failures=42)
    whole = statistics(900, mean_ms={"request": 21.0}, p95_ms=30.0)
    triton.figures["people"] = whole
    fake.serving = through("triton")
    with opened(deploy_script, fake) as app:
        tiles = shown(app)
        assert tiles["Pictures"] == ("4,200", "counting")
        assert tiles["Inference, p50"] == ("12 ms", "p95 18.2 ms · p99 31 ms")
        assert tiles["Success"] == ("99.01%", "42 failed")
        said = words(app)
        assert "v1 · ONNX Runtime fp32 · batches up to 8 · 2 instances" in said
        assert "made 2026-11-21 19:41 UTC" in said
        assert "p50, p95 and p99 are of the last minute. Mean since it was loaded: 12.5 ms" in said
        assert "of which in line 0.40 ms, input 0.10 ms, inference 11.9 ms, output 0.10 ms" in said
        assert "to be decoded and boxed there: p50 12 ms, p95 30 ms." in said
        assert "Live video" in said


def test_nothing_is_made_up_for_what_nobody_has_asked(fake: FakeApi, triton: FakeTriton) -> None:
    triton.deploy("people")
    triton.gpus = [{"uuid": "GPU-1", "use": None, "memory_bytes": None,
                    "memory_total_bytes": None, "power_watts": None}]  # fmt: skip
    with opened(deploy_script, fake) as app:
        tiles = shown(app)
        assert (
            tiles["Inference, mean"][0] == tiles["Success"][0] == tiles["GPU in use"][0] == NOTHING
        )
        assert tiles["GPU memory"] == (NOTHING, "total unknown")
        assert "Nobody has asked it yet." in words(app)
        assert "No batch has run yet." in words(app)


def test_without_percentiles_the_mean_says_over_what_it_is(
    fake: FakeApi, triton: FakeTriton
) -> None:
    triton.deploy("people")
    for name in ("people", "people__1__detector"):
        triton.figures[name] = statistics(4200, p50_ms=None, p95_ms=None, p99_ms=None)
    with opened(deploy_script, fake) as app:
        assert shown(app)["Inference, mean"] == ("12.5 ms", "since it was loaded")
        assert "to be decoded and boxed there: mean 12.5 ms." in words(app)
        row = next(row for row in table(app, 1) if row["model"] == "people")
        assert (row["mean"], row["p50"]) == (12.5, None)


def test_what_grpc_says_of_a_connection_is_put_plainly_and_kept(
    fake: FakeApi, triton: FakeTriton
) -> None:
    raw = (
        "Triton at a:8001 doesn't answer: failed to connect to all addresses; last error: UNKNOWN: "
        "ipv4:10.0.0.1:8001: Failed to connect to remote host: Connection refused. See that it runs"
    )
    triton.facts = {"live": False, "ready": False, "trouble": raw}
    with opened(deploy_script, fake) as app:
        assert "doesn't answer: the connection is refused. See that it runs." in words(app)
        assert "all addresses" not in words(app)
        (said,) = (one for one in app.text if "refused" in one.value)
        assert said.help.startswith(raw)


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("other", False),
        ("people", True),
        ("people__2__detector", True),
        ("people__1__detector", False),
    ],
)
def test_who_unloads_a_model_is_told_of_its_viewers(
    fake: FakeApi, triton: FakeTriton, name: str, warned: bool
) -> None:
    triton.deploy("people")
    triton.deploy("people")
    triton.others = [server_model("other")]
    fake.serving = through("triton")
    with opened(deploy_script, fake) as app:
        app.selectbox(key="deploy-one-name").select(name).run()
        asked = f"Nobody is answered by {name} until it is loaded again."
        (question,) = (line for line in words(app).split("\n") if asked in line)
        assert ("Live video goes through it" in question) == warned


def test_each_gpu_has_its_use_and_memory(fake: FakeApi, triton: FakeTriton) -> None:
    gpu = {"uuid": "GPU-1", "use": 0.83, "memory_bytes": 3 * 2**30,
           "memory_total_bytes": 80 * 2**30, "power_watts": 412.0}  # fmt: skip
    triton.gpus = [gpu, gpu, gpu]
    with opened(deploy_script, fake) as app:
        tiles = shown(app)
        assert tiles["GPU 0 in use"] == tiles["GPU 2 in use"] == ("83%", "412 W")
        assert tiles["GPU 1 memory"] == ("3.0 GiB", "of 80 GiB")
        assert app.selectbox(key="deploy-device-people").options[-1] == "GPU 2"


def test_the_tables_name_deployments_and_models_and_hide_unloaded_leftovers(
    fake: FakeApi, triton: FakeTriton
) -> None:
    triton.deploy("people")
    triton.deploy("people")
    triton.figures["people"] = statistics(40)
    triton.probes["people"] = {"ok": True, "error": None, "checked_at": "2026"}
    broken = "unexpected end of file in model.onnx"
    triton.others = [
        server_model("by_hand", platform="onnxruntime_onnx"),
        server_model("broken", state="UNAVAILABLE", reason=broken),
    ]
    with opened(deploy_script, fake) as app:
        assert [(row["number"], row["state"]) for row in table(app, 0)] == [
            (2, "in service"), (1, "kept for a rollback"),
        ]  # fmt: skip
        models = {row["model"]: row for row in table(app, 1)}
        assert list(models) == [
            "broken", "by_hand", "people", "people_tensors", "people__2__detector",
            "people__2__postprocess", "people__2__preprocess",
        ]  # fmt: skip
        assert models["people"]["batches"] == "3x1, 10x4"
        assert models["people"]["answers"] == "yes"
        assert models["broken"]["what"] == models["by_hand"]["what"] == "exported"
        assert (models["broken"]["state"], models["broken"]["reason"]) == ("not loaded", broken)
        assert f"broken isn't loaded: {broken}." in words(app)
        assert "3 parts of earlier deployments" in words(app)


def test_a_model_that_is_ready_and_does_not_answer_is_named(
    fake: FakeApi, triton: FakeTriton
) -> None:
    triton.deploy("people")
    triton.probes["people"] = {"ok": False, "error": "the stub is dead", "checked_at": "2026"}
    with opened(deploy_script, fake) as app:
        assert "people is loaded but doesn't answer: the stub is dead." in words(app)
        assert "Doesn't answer" in words(app)


@pytest.mark.parametrize(
    ("key", "calls", "says"),
    [
        ("back-people", ["POST /api/triton/deployments/people/rollback"],
         "Deployment 1 serves again"),
        ("unload-people", ["POST /api/triton/models/people_tensors/unload",
                           "POST /api/triton/models/people/unload"], "It is unloaded"),
        ("remove-people", ["DELETE /api/triton/deployments/people"], "is no longer deployed"),
        ("live-people", ["POST /api/models/people/promote"], "goes through Triton now, after 1.2"),
        ("deploy-one-load", ["POST /api/triton/models/people/load"], "people is loaded"),
        ("deploy-one-unload", ["POST /api/triton/models/people/unload"], "people is unloaded"),
    ],
)  # fmt: skip
def test_each_button_does_one_thing_and_says_how_it_went(
    fake: FakeApi, triton: FakeTriton, key: str, calls: list[str], says: str
) -> None:
    triton.deploy("people")
    triton.deploy("people")
    with opened(deploy_script, fake) as app:
        if key.startswith("deploy-one"):
            app.selectbox(key="deploy-one-name").select("people").run()
        fake.refusals[calls[0]] = "Triton is being restarted; try again."
        app.button(key=key).click().run()
        assert "being restarted; try again" in app.error[0].value
        assert fake.told == []
        fake.refusals.clear()
        app.button(key=key).click().run()
        assert not app.exception
        assert [call for call, _ in fake.told] == calls
        assert says in words(app)
        assert not app.error


def test_an_unloaded_deployment_can_be_loaded(fake: FakeApi, triton: FakeTriton) -> None:
    triton.deploy("people", loaded=False)
    with opened(deploy_script, fake) as app:
        assert "Not loaded" in words(app)
        assert [row["state"] for row in table(app, 0)] == ["not loaded"]
        assert app.button(key="live-people").disabled
        app.button(key="load-people").click().run()
        assert [call for call, _ in fake.told] == [
            "POST /api/triton/models/people/load", "POST /api/triton/models/people_tensors/load",
        ]  # fmt: skip
        assert "unload-people" in keys(app)


def test_live_video_goes_through_triton_and_back(fake: FakeApi, triton: FakeTriton) -> None:
    triton.deploy("people")
    with opened(deploy_script, fake) as app:
        app.button(key="live-people").click().run()
        wish = {"artefact_id": 1, "force": False, "reason": "from the page Deploy"}
        assert fake.told[-1][1] == wish | {"engine": "triton"}
        fake.serving = through("triton")
        app.run()
        assert app.button(key="live-people").label == "Serve live video without Triton"
        assert "take it back first" in words(app)
        app.button(key="live-people").click().run()
        assert fake.told[-1][1] == wish | {"engine": ""}


def test_while_triton_is_down_live_video_can_be_taken_back(
    fake: FakeApi, triton: FakeTriton
) -> None:
    triton.deploy("people")
    triton.facts = {"live": False, "ready": False, "trouble": "It is down."}
    fake.serving = through("triton")
    with opened(deploy_script, fake) as app:
        assert "Away" in words(app)
        assert keys(app) == {"live-people"}  # and nothing to load or unload
        assert [row["state"] for row in table(app, 0)] == ["away with Triton"]
        assert app.button(key="live-people").label == "Serve live video without Triton"


def test_without_the_repository_nothing_is_rolled_back_or_removed(
    fake: FakeApi, triton: FakeTriton
) -> None:
    triton.deploy("people")
    triton.deploy("people")
    triton.facts = {"can_deploy": False, "why_not_deploy": "No folder is shared."}
    with opened(deploy_script, fake) as app:
        assert {"live-people", "unload-people"} <= keys(app)
        assert not {"back-people", "remove-people", "deploy-start"} & keys(app)
