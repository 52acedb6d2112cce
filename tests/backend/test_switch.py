"""Settings of a live stream: thresholds at once, another model without losing the stream."""

from __future__ import annotations

import asyncio

import pytest

from sightline_backend import seat
from sightline_backend.session import SWITCHES_AT_ONCE
from sightline_engines import wire
from sightline_engines.errors import ModelFileError
from tests.backend.running import running, until
from tests.fakes import FakeEngine, encoded, grey, named


async def test_thresholds_change_from_the_next_frame_on() -> None:
    async with running() as backend, backend.camera() as camera:
        dim = encoded(grey(100))
        assert len((await camera.detect(1, dim)).detections) == 1
        settings = await camera.set(conf=0.5)
        assert isinstance(settings, wire.Settings)
        assert (settings.conf, settings.model) == (0.5, "fake")
        assert len((await camera.detect(2, dim)).detections) == 0
        assert len((await camera.detect(3, encoded(grey(200)))).detections) == 1


async def test_each_stream_has_settings_of_its_own() -> None:
    async with running() as backend, backend.camera() as one, backend.camera() as two:
        await one.set(conf=0.9)
        assert len((await one.detect(1)).detections) == 0
        assert len((await two.detect(1)).detections) == 1


async def test_classes_are_chosen_by_name_or_id_and_an_empty_list_means_all() -> None:
    async with running(FakeEngine(boxes=3)) as backend, backend.camera() as camera:
        settings = await camera.set(classes=("face", "0"))
        assert isinstance(settings, wire.Settings)
        assert settings.classes == ("person", "face")
        assert sorted((await camera.detect(1)).detections.class_id.tolist()) == [0, 1]
        await camera.set(classes=())
        assert len((await camera.detect(2)).detections) == 3


async def test_settings_that_are_wrong_in_part_change_nothing() -> None:
    async with running() as backend, backend.camera() as camera:
        failure = await camera.set(conf=0.99, classes=("unicorn",))
        assert isinstance(failure, wire.Failure)
        assert failure.code == "unknown_class"
        assert "unicorn" in failure.message
        assert "person, face" in failure.message
        assert len((await camera.detect(1)).detections) == 1


async def test_a_stream_moves_to_another_model_and_keeps_what_it_asked_for() -> None:
    other = FakeEngine(named("other", ("face", "dog")))
    async with running(FakeEngine(), other) as backend, backend.camera() as camera:
        await camera.set(conf=0.33, classes=("person", "face"))
        settings = await camera.set(model="other")
        assert isinstance(settings, wire.Settings)
        assert (settings.model, settings.conf, settings.classes) == ("other", 0.33, ("face",))
        result = await camera.detect(1)
        assert result.model.name == "other"
        assert result.detections.to_dicts(other.spec.labels)[0]["class_name"] == "face"
        back = await camera.set(model="fake", classes=())
        assert isinstance(back, wire.Settings)
        assert (await camera.detect(2)).model.name == "fake"
        assert backend.service.pool.default.streams == 1


async def test_while_a_model_loads_the_stream_runs_on_with_its_own() -> None:
    async with (
        running(FakeEngine(), FakeEngine(named("slow"))) as backend,
        backend.camera() as camera,
    ):
        backend.models.go.clear()
        await camera.socket.send(wire.settings_to_json(wire.Settings(model="slow")))
        assert (await camera.detect(1)).model.name == "fake"
        backend.models.go.set()
        assert isinstance(await camera.recv(), wire.Settings)
        assert (await camera.detect(2)).model.name == "slow"


async def test_what_is_set_while_a_model_loads_holds_there() -> None:
    other = FakeEngine(named("slow", ("face", "person")))
    async with running(FakeEngine(), other) as backend, backend.camera() as camera:
        backend.models.go.clear()
        asked = wire.Settings(model="slow", conf=0.3, iou=0.4)
        await camera.socket.send(wire.settings_to_json(asked))
        await until(lambda: "slow" in backend.models.loads)
        for one in ({"conf": 0.8}, {"classes": ("0",)}, {"conf": 0.9}):
            assert isinstance(await camera.set(**one), wire.Settings)
        backend.models.go.set()
        moved = await camera.recv()
        assert isinstance(moved, wire.Settings)
        assert (moved.model, moved.conf, moved.iou) == ("slow", 0.9, 0.4)
        assert moved.classes == ("person",), "the old model's class 0"


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ("", "unknown_model", "There are: fake, broken"),
        ("/etc/passwd", "unknown_model", "There are: fake, broken"),
        ("broken", "bad_model", "3 outputs"),
    ],
)
async def test_a_model_that_cant_be_had_leaves_the_stream_where_it_is(
    model: str, code: str, said: str
) -> None:
    async with running(FakeEngine(), FakeEngine(named("broken"))) as backend:
        backend.models.broken["broken"] = ModelFileError("It has 3 outputs.")
        async with backend.camera() as camera:
            failure = await camera.set(model=model)
            assert isinstance(failure, wire.Failure)
            assert failure.code == code
            assert said in failure.message
            assert (await camera.detect(1)).model.name == "fake"


async def test_of_two_wishes_for_a_model_the_newer_one_counts() -> None:
    engines = [FakeEngine(), FakeEngine(named("a")), FakeEngine(named("b"))]
    async with running(*engines) as backend, backend.camera() as camera:
        await camera.socket.send(wire.settings_to_json(wire.Settings(model="a")))
        await camera.socket.send(wire.settings_to_json(wire.Settings(model="b")))
        settings = await camera.recv()
        while isinstance(settings, wire.Settings) and settings.model != "b":
            settings = await camera.recv()
        assert (await camera.detect(1)).model.name == "b"


async def test_a_client_that_leaves_while_its_model_loads_leaves_nothing_behind() -> None:
    async with running(FakeEngine(), FakeEngine(named("other"))) as backend:
        async with backend.camera() as camera:
            await camera.socket.send(wire.settings_to_json(wire.Settings(model="other")))
        await until(lambda: len(backend.service.sessions) == 0)
        await until(lambda: "other" in backend.service.pool.loaded or not backend.models.loads[1:])
        assert backend.service.pool.default.streams == 0
        async with asyncio.timeout(5), backend.service.pool.using("other") as batcher:
            assert batcher.streams == 0


async def test_a_wish_to_stay_calls_off_the_wish_to_move() -> None:
    async with running(FakeEngine(), FakeEngine(named("b"))) as backend, backend.camera() as camera:
        backend.models.go.clear()
        await camera.socket.send(wire.settings_to_json(wire.Settings(model="b")))
        await until(lambda: "b" in backend.models.loads)
        stay = await camera.set(model="fake")
        assert isinstance(stay, wire.Settings)
        assert stay.model == "fake"
        backend.models.go.set()
        await until(lambda: "b" in backend.service.pool.loaded)
        assert (await camera.detect(1)).model.name == "fake"
        async with backend.service.pool.using("b") as batcher:
            assert batcher.streams == 0


async def test_a_bug_in_a_change_of_model_is_told_and_leaves_no_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bug(*_: object) -> wire.Settings:
        raise ZeroDivisionError("secret")

    engines = [FakeEngine(), FakeEngine(named("a")), FakeEngine(named("b"))]
    async with running(*engines, max_models=2) as backend, backend.camera() as camera:
        monkeypatch.setattr(seat, "known_to", bug)
        failure = await camera.set(model="a")
        assert isinstance(failure, wire.Failure)
        assert failure.code == "internal"
        assert "secret" not in failure.message
        assert (await camera.detect(1)).model.name == "fake"
        monkeypatch.undo()
        moved = await camera.set(model="b")
        assert isinstance(moved, wire.Settings), "the failed change holds no model in memory"


async def test_who_changes_models_without_end_is_told_when_to_go_on() -> None:
    """Each change may load a model and measure it, which takes time from everybody."""
    engines = [FakeEngine(named(name)) for name in ("fake", "a", "b")]
    async with running(*engines) as backend, backend.camera() as camera:
        answers = [await camera.set(model="ab"[n % 2]) for n in range(SWITCHES_AT_ONCE + 5)]
        told = [answer for answer in answers if isinstance(answer, wire.Failure)]
        assert told
        assert {failure.code for failure in told} == {"busy"}
        assert all(failure.retry_after_s for failure in told)
        assert await backend.metric("sightline_refusals_total", reason="model") == len(told)
        assert (await camera.detect(1)).seq == 1


async def test_a_model_without_the_rate_refuses_the_change_and_says_when_to_try_again() -> None:
    engines = [FakeEngine(), FakeEngine(named("slow"), seconds=0.05)]
    async with running(*engines, max_batch=1) as backend, backend.camera("fps=30") as camera:
        failure = await camera.set(model="slow")
        assert isinstance(failure, wire.Failure)
        assert (failure.code, failure.seq) == ("busy", None)
        assert failure.retry_after_s == 5
        assert await backend.metric("sightline_refusals_total", reason="rate") == 1
        assert (await camera.detect(1)).model.name == "fake"


async def test_where_no_model_can_leave_memory_another_is_refused_for_a_while() -> None:
    engines = [FakeEngine(), FakeEngine(named("other"))]
    async with running(*engines, max_models=1) as backend, backend.camera() as camera:
        failure = await camera.set(model="other")
        assert isinstance(failure, wire.Failure)
        assert failure.code == "no_room_for_model"
        assert failure.retry_after_s == 30
        response = await backend.detect(encoded(grey(9)), model="other")
        assert (response.status_code, response.headers["retry-after"]) == (503, "30")
        assert await backend.metric("sightline_refusals_total", reason="model") == 2
