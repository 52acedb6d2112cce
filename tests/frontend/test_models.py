"""The models page before a played detector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sightline_frontend.views.said import plain
from tests.frontend.fake_api import FakeApi, artefact, cell, checkpoint, model, serving
from tests.frontend.fake_triton import FakeTriton
from tests.frontend.page import models_script, opened, words


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with serving(FakeApi()) as fake:
        yield fake


@pytest.fixture
def people(fake: FakeApi) -> FakeApi:
    """A detector with one model: an ONNX that serves, and an INT8 of it."""
    first, second = artefact(1), artefact(2, "openvino", "int8")
    second["parity"] = {"agreeing": 0.97}
    fake.models["people"] = model("people", first, second)
    fake.serving = [
        {"model": "people", "version": 1, "artefact_id": 1, "format": "onnx", "streams": 2,
         "precision": "fp32", "engine": "openvino", "shadow": None}
    ]  # fmt: skip
    return fake


def measured(fake: FakeApi, number: int, worth: float) -> None:
    figures = cell("openvino", "int8", 1, 10.0, worth)
    fake.models["people"]["versions"][0]["artefacts"][number - 1]["measurements"] = [
        {"id": 1, "engine": "openvino", "job_id": 1, "created_at": "2026", "figures": figures}
    ]


def table(app: AppTest, number: int) -> list[dict[str, Any]]:
    return [dict(row) for row in app.dataframe[number].value.to_dict("records")]


def test_without_models_the_page_says_what_to_do(fake: FakeApi) -> None:
    with opened(models_script, fake) as app:
        assert "add an ONNX file" in words(app)
        assert app.file_uploader[0].label == "Model file"


def test_a_detector_that_is_not_there_is_waited_for(fake: FakeApi) -> None:
    fake.refusals["GET /health"] = "no"
    with opened(models_script, fake) as app:
        assert "doesn't answer" in words(app)


def test_the_tables_say_what_serves_and_what_is_known_of_each_file(people: FakeApi) -> None:
    measured(people, 2, 0.3)
    with opened(models_script, people) as app:
        (row,) = table(app, 0)
        assert (row["model"], row["serves"], row["engine"]) == (
            "people", "v1 · ONNX fp32", "OpenVINO",
        )  # fmt: skip
        assert row["streams"] == 2
        first, second = table(app, 1)
        assert (first["serves"], second["serves"]) == (True, False)
        assert second["agrees"] == pytest.approx(97)
        assert second["mAP50-95"] == 0.3
        assert second["p95"] == pytest.approx(11.5)
        assert second["pictures/s"] == 100


def test_a_checkpoint_is_listed_with_what_to_do_next(fake: FakeApi) -> None:
    fake.models["yard"] = checkpoint("yard")
    with opened(models_script, fake) as app:
        assert table(app, 0)[0]["serves"] == "convert it first"
        assert "convert it to ONNX below" in words(app)
        assert "a .pt file can't serve" in words(app)
        app.checkbox(key="convert-yard-0-onnx-fp32").check().run()
        app.button(key="convert-start").click().run()
        call, body = fake.told[-1]
        assert (call, body["artefact_id"], body["format"]) == ("POST /api/convert", 1, "onnx")


def test_an_uploaded_model_arrives_whole_with_what_is_said_of_it(fake: FakeApi) -> None:
    content = b"onnx" * 700_000
    with opened(models_script, fake, "open-sesame") as app:
        app.file_uploader[0].set_value(
            [("My best.onnx", content, "application/octet-stream")]
        ).run()
        app.text_input(key="upload-licence-0").set_value("MIT").run()
        app.button(key="upload-send").click().run()
        assert not app.exception
        assert "is here as My-best, version 1" in words(app)
        ((call, asked),) = fake.told
        assert call == "POST /api/models"
        assert asked == {"filename": "My best.onnx", "name": "My-best", "licence": "MIT",
                         "size": str(len(content))}  # fmt: skip
        assert fake.passwords == ["Bearer open-sesame"]
        assert app.selectbox(key="models-chosen").value == "My-best"


def test_a_refused_upload_is_explained_and_the_form_keeps_its_words(fake: FakeApi) -> None:
    fake.refusals["POST /api/models"] = "A .pt file is a program; this server takes none."
    with opened(models_script, fake) as app:
        app.file_uploader[0].set_value([("m.pt", b"pickle", "application/octet-stream")]).run()
        app.text_input(key="upload-licence-0").set_value("MIT").run()
        app.button(key="upload-send").click().run()
        assert "takes none" in app.error[0].value
        assert app.text_input(key="upload-licence-0").value == "MIT"


def test_a_missing_password_is_explained_in_terms_of_the_pages(people: FakeApi) -> None:
    people.refusals["POST /api/convert"] = "Send the value of SIGHTLINE_ADMIN_TOKEN."
    with opened(models_script, people) as app:
        app.checkbox(key="convert-people-0-onnx-int8").check().run()
        app.button(key="convert-start").click().run()
        assert "Start these pages with" in app.error[0].value


def test_conversions_start_and_what_can_not_be_made_is_greyed_with_its_reason(
    people: FakeApi,
) -> None:
    with opened(models_script, people) as app:
        plan = app.checkbox(key="convert-people-0-tensorrt-fp16")
        assert plan.disabled
        assert "TensorRT isn't installed" in plan.help
        assert app.checkbox(key="convert-people-0-onnx-fp32").disabled  # the source itself
        assert app.button(key="convert-start").disabled
        app.checkbox(key="convert-people-0-openvino-fp16").check().run()
        app.checkbox(key="convert-people-0-onnx-int8").check().run()
        app.button(key="convert-start").click().run()
        assert not app.exception
        asked = [body for call, body in people.told if call == "POST /api/convert"]
        assert [(one["format"], one["precision"]) for one in asked] == [
            ("openvino", "fp16"), ("onnx", "int8"),
        ]  # fmt: skip
        assert asked[0] == {"model": "people", "artefact_id": 1, "format": "openvino",
                            "precision": "fp16", "dataset": None}  # fmt: skip
        assert "2 conversions have started" in words(app)
        assert app.button(key="convert-start").disabled  # the boxes are empty again


def test_jobs_are_shown_and_can_be_cancelled_and_done_again(people: FakeApi) -> None:
    people.job(1, title="people to INT8", doing="calibrating")
    people.job(2, state="failed", error={"code": "x", "message": "The disk is full."})
    people.job(3, "benchmark", title="of the other page")
    with opened(models_script, people) as app:
        assert "people to INT8" in words(app)
        assert "of the other page" not in words(app)
        assert "The disk is full." in words(app)
        app.button(key="cancel-1").click().run()
        app.button(key="restart-2").click().run()
        app.toggle(key="log-1").set_value(True).run()
        assert not app.exception
        assert [call for call, _ in people.told] == [
            "POST /api/jobs/1/cancel", "POST /api/jobs/2/restart",
        ]  # fmt: skip
        assert app.code[0].value == "a line"


def test_the_loss_is_shown_before_and_the_gate_s_refusal_after(people: FakeApi) -> None:
    measured(people, 1, 0.32)
    measured(people, 2, 0.29)
    refusal = "It loses 0.030 mAP50-95; 0.010 may be lost."
    people.refusals["POST /api/models/people/promote"] = refusal
    with opened(models_script, people) as app:
        assert app.button(key="promote-start").disabled  # it serves already
        app.selectbox(key="promote-people").select_index(1).run()
        assert "0.320 now, 0.290 then: it loses 0.030" in words(app)
        app.button(key="promote-start").click().run()
        assert refusal in app.error[0].value
        people.refusals.clear()
        app.checkbox(key="promote-force-people").check().run()
        app.text_input(key="promote-reason-people").set_value("Too slow otherwise").run()
        app.button(key="promote-start").click().run()
        assert people.told[-1][1] == {
            "artefact_id": 2, "engine": "", "force": True, "reason": "Too slow otherwise",
        }  # fmt: skip
        assert "serves now, after 1.2 s; mAP50-95 changes by -0.004" in words(app)
        assert not app.checkbox(key="promote-force-people").value  # it was for that one alone
        assert app.text_input(key="promote-reason-people").value == ""


def test_what_served_before_can_serve_again(people: FakeApi) -> None:
    people.serving.clear()  # no stream asks for it
    people.models["people"]["rollback_to"] = {"artefact_id": 2, "version": 1, "engine": ""}
    people.models["people"]["promotions"] = [
        {"artefact_id": 1, "created_at": "2026-11-21T14:00", "forced": True, "reason": "faster"}
    ]
    with opened(models_script, people) as app:
        (row,) = table(app, 0)
        assert (row["serves"], row["engine"]) == ("v1 · ONNX fp32", "loads when asked")
        assert app.button(key="roll-back").label == "Roll back to v1 · OpenVINO · int8, on OpenVINO"
        assert table(app, 2)[0]["reason"] == "faster"
        app.button(key="roll-back").click().run()
        assert people.told[-1][0] == "POST /api/models/people/rollback"
        assert "serves again" in words(app)


def test_a_shadow_run_is_started_with_its_share(people: FakeApi) -> None:
    with opened(models_script, people) as app:
        app.slider(key="shadow-share-people").set_value(25).run()
        app.button(key="shadow-start").click().run()
        call, body = people.told[-1]
        assert call == "POST /api/models/people/shadow"
        assert body == {"artefact_id": 2, "engine": "", "share": 0.25}


@pytest.mark.parametrize("running", [True, False])
def test_a_shadow_run_is_reported(people: FakeApi, running: bool) -> None:
    people.shadow = {
        "artefact_id": 2, "share": 0.25, "running": running, "compared": 1200, "failed": 3,
        "agreeing": 0.98, "only_serving": {"person": 4}, "only_candidate": {},
        "infer_ms": {"serving": {"p50": 20.0, "p95": 22.0}, "candidate": {"p50": 9.5, "p95": 10}},
    }  # fmt: skip
    with opened(models_script, people) as app:
        assert [tile.value for tile in app.metric] == ["1,200", "98.0%", "20.0 ms", "9.5 ms"]
        assert "It missed 4 person, and found nothing beyond." in words(app)
        assert "failed on 3 frames" in words(app)
        if running:
            app.button(key="shadow-end").click().run()
            assert people.told[-1][0] == "DELETE /api/models/people/shadow"
        else:
            assert app.button(key="shadow-start")


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("delete-artefact", "DELETE /api/artefacts/1"),
        ("delete-version", "DELETE /api/models/people/versions/1"),
        ("delete-model", "DELETE /api/models/people"),
    ],
)
def test_what_is_in_use_is_not_deleted_and_the_page_says_why(
    people: FakeApi, key: str, call: str
) -> None:
    people.refusals[call] = "It serves 2 streams; promote another one first."
    with opened(models_script, people) as app:
        app.button(key=key).click().run()
        assert "promote another one first" in app.error[0].value
        people.refusals.clear()
        app.button(key=key).click().run()
        assert not app.exception
        assert people.told[-1][0] == call
        assert "deleted" in app.success[0].value


def test_a_model_is_renamed_and_described(people: FakeApi) -> None:
    with opened(models_script, people) as app:
        app.text_input(key="rename-people").set_value("crowd")
        app.button[-1].click().run()
        assert people.told[-1] == ("PATCH /api/models/people", {"name": "crowd"})


@pytest.mark.parametrize("known", [False, True])
def test_a_file_is_promoted_to_triton_where_there_is_one(people: FakeApi, known: bool) -> None:
    people.triton = FakeTriton() if known else None
    with opened(models_script, people) as app:
        engines = app.selectbox(key="promote-engine-people-onnx")
        assert ("Triton" in engines.options) == known
        if known:
            engines.select("triton").run()
            assert "deploy it on the page Deploy first" in words(app)
            app.button(key="promote-start").click().run()
            assert people.told[-1][1]["engine"] == "triton"
        app.selectbox(key="promote-people").select_index(1).run()
        assert "Triton" not in app.selectbox(key="promote-engine-people-openvino").options


def test_who_serves_through_triton_is_proposed_it_again(people: FakeApi) -> None:
    people.triton = FakeTriton()
    people.serving[0]["engine"] = "triton"
    people.models["people"]["active"]["engine"] = "triton"
    people.models["people"]["rollback_to"] = {"artefact_id": 1, "version": 1, "engine": ""}
    with opened(models_script, people) as app:
        assert app.selectbox(key="promote-engine-people-onnx").value == "triton"
        assert app.button(key="promote-start").disabled  # it serves already
        assert "v1 · ONNX · fp32, on Triton" in words(app)
        back = "Roll back to v1 · ONNX · fp32, as the detector is set"
        assert app.button(key="roll-back").label == back


@pytest.mark.parametrize("text", ["", "a_b", "*x*", "[l](http://h)", ":red[x]", "$1$", "<b>"])
def test_text_of_others_is_no_markdown(text: str) -> None:
    shown = plain(text)
    assert shown.replace("\\", "") == text
    assert not any(mark in shown.replace(f"\\{mark}", "") for mark in "*_[]$<:")
