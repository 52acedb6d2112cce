"""The deploy page's form before a played detector with a played Triton."""

from __future__ import annotations

from tests.frontend.fake_api import FakeApi, checkpoint
from tests.frontend.fake_triton import FakeTriton
from tests.frontend.page import deploy_script, keys, opened, words


def test_without_models_the_form_says_where_to_add_one(fake: FakeApi) -> None:
    fake.models.clear()
    with opened(deploy_script, fake) as app:
        assert "add one on the page Models" in words(app)


def test_what_triton_can_not_take_is_to_be_converted_first(fake: FakeApi) -> None:
    fake.models = {"yard": checkpoint("yard")}
    with opened(deploy_script, fake) as app:
        assert "convert this one on the page Models" in words(app)
        assert "deploy-start" not in keys(app)


def test_a_file_is_deployed_as_the_form_says(fake: FakeApi) -> None:
    with opened(deploy_script, fake, "open-sesame") as app:
        files = app.selectbox(key="deploy-file-people").options
        assert files == ["v1 · ONNX · fp32", "v1 · TensorRT · fp16"]  # Triton takes no OpenVINO
        app.number_input(key="deploy-count-people").set_value(2).run()
        app.selectbox(key="deploy-batch-people").select(16).run()
        app.multiselect(key="deploy-preferred-people-16").set_value([8, 16]).run()
        app.number_input(key="deploy-delay-people").set_value(2.5).run()
        app.selectbox(key="deploy-accelerator-people").select("tensorrt").run()
        app.selectbox(key="deploy-device-people").select("Processor").run()
        app.button(key="deploy-start").click().run()
        assert not app.exception
        ((call, body),) = fake.told
        assert call == "POST /api/triton/deployments"
        assert body == {
            "model": "people", "artefact_id": 1, "max_batch": 16, "force": False, "reason": "",
            "config": {
                "platform": "onnxruntime", "instance_count": 2, "preferred_batch_sizes": [8, 16],
                "max_queue_delay_us": 2500, "gpus": [], "max_queue_size": None,
                "queue_timeout_us": None, "step_instances": 1, "accelerator": "tensorrt",
                "accelerator_precision": "fp32", "response_cache": False,
            },
        }  # fmt: skip
        assert fake.passwords == ["Bearer open-sesame"]
        assert "people is deployed as number 1" in words(app)
        assert "In service" in words(app)


def test_the_platform_follows_from_the_file(fake: FakeApi) -> None:
    with opened(deploy_script, fake) as app:
        assert "It runs on ONNX Runtime at Triton." in words(app)
        app.selectbox(key="deploy-file-people").select_index(1).run()
        assert "It runs on TensorRT at Triton." in words(app)
        assert "deploy-accelerator-people" not in {str(one.key) for one in app.selectbox}
        app.button(key="deploy-start").click().run()
        assert fake.told[-1][1]["config"]["platform"] == "tensorrt_plan"


def test_a_refused_deployment_is_explained_and_the_form_keeps_its_words(fake: FakeApi) -> None:
    fake.refusals["POST /api/triton/deployments"] = "Triton says: unexpected end of model.onnx."
    with opened(deploy_script, fake) as app:
        app.number_input(key="deploy-count-people").set_value(3).run()
        app.button(key="deploy-start").click().run()
        assert "unexpected end of model.onnx" in app.error[0].value
        assert app.number_input(key="deploy-count-people").value == 3


def test_a_new_deployment_is_proposed_as_the_one_that_serves(
    fake: FakeApi, triton: FakeTriton
) -> None:
    triton.deploy("people", max_batch=12)
    with opened(deploy_script, fake) as app:
        assert app.number_input(key="deploy-count-people").value == 2
        assert app.selectbox(key="deploy-batch-people").value == 12
        assert app.multiselect(key="deploy-preferred-people-12").value == [4]
        assert app.number_input(key="deploy-delay-people").value == 1.5


def test_live_video_moves_past_the_gate_for_a_reason(fake: FakeApi, triton: FakeTriton) -> None:
    triton.deploy("people")
    with opened(deploy_script, fake) as app:
        app.toggle(key="deploy-force-people").set_value(True).run()
        app.text_input(key="deploy-reason-people").set_value("Half the time").run()
        app.button(key="deploy-start").click().run()
        body = fake.told[-1][1]
        assert (body["force"], body["reason"]) == (True, "Half the time")
