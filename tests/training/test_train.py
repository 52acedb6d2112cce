"""Training learns, and goes on from a checkpoint as if it had never stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from sightline_training.batches import Material, Recipe, Stage, make_batch, stream  # noqa: E402
from sightline_training.network import Detector  # noqa: E402
from sightline_training.plan import Cycle, Plan  # noqa: E402
from sightline_training.train import CHECKPOINT, EXPORTED, Trainer, averaged_of, run  # noqa: E402
from tests.training.rendered import FACE, PERSON, rendered  # noqa: E402

RECIPE = Recipe(batch=4)
STAGE = Stage((64, 96), mosaics=True)
PLAN = Plan(
    (Cycle(2, 2e-3, 0.5, 0.3), Cycle(2, 1e-3, 0.0, 0.5)),
    warm_up=1,
    small_sizes=(32, 64),
    sizes=(64, 96),
    export_size=64,
)


@pytest.fixture
def material() -> Material:
    faces = [rendered(seed, FACE) for seed in range(4)]
    return Material(faces, [rendered(seed, PERSON) for seed in range(10, 14)], RECIPE)


def trainer(plan: Plan) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Detector(width=16), plan)


def test_steps_on_one_batch_lower_its_loss(material: Material) -> None:
    batch = make_batch(material, 0, replace(STAGE, mosaics=False))
    learner = trainer(replace(PLAN, cycles=(Cycle(20, 2e-3, 0.0, 0.3),)))
    losses = [float(learner.learn(batch).sum()) for _ in range(4)]
    assert losses[2] < losses[0]
    assert losses[3] < losses[1]


def test_resumed_training_continues_exactly(material: Material, tmp_path: Path) -> None:
    straight = trainer(PLAN)
    said: list[str] = []
    run(straight, material, tmp_path / "straight", said.append)
    first = trainer(PLAN)
    for batch in stream(material, range(2), PLAN.stage_at):
        first.learn(batch)
    first.save(tmp_path / CHECKPOINT)
    second = trainer(PLAN)
    second.restore(tmp_path / CHECKPOINT)
    assert second.step == 2
    run(second, material, tmp_path / "resumed", said.append)
    for name, value in straight.average.items():
        torch.testing.assert_close(second.average[name], value, rtol=0, atol=0)
    assert (tmp_path / "resumed" / EXPORTED).stat().st_size > 1_000_000


def test_batches_depend_on_their_number_alone(material: Material) -> None:
    one, again = make_batch(material, 7, STAGE), make_batch(material, 7, STAGE)
    assert torch.equal(one.images, again.images)
    assert all(torch.equal(a, b) for a, b in zip(one.boxes, again.boxes, strict=True))
    other = make_batch(material, 8, STAGE)
    assert one.images.shape != other.images.shape or not torch.equal(one.images, other.images)


def test_rate_rises_then_falls_in_every_cycle() -> None:
    cycles = (Cycle(100, 1.0, 0.0, 0.3), Cycle(50, 0.5, 0.0, 0.3))
    plan = Plan(cycles, warm_up=10)
    rates = [plan.rate_at(step) for step in range(plan.steps)]
    for first, last, most in ((0, 99, 1.0), (100, 149, 0.5)):
        assert rates[first] == pytest.approx(most / 10)
        assert max(rates[first:last]) == pytest.approx(most)
        assert rates[last] < 0.03 * most


def test_sizes_grow_mosaics_end_and_shares_change_from_cycle_to_cycle() -> None:
    cycles = (Cycle(100, 1.0, 0.5, 0.3), Cycle(10, 0.5, 0.0, 0.4))
    plan = Plan(cycles, calm_share=0.1, small_sizes=(32,), sizes=(64,))
    stages = [plan.stage_at(step) for step in (0, 49, 50, 89, 90, 99, 100, 108, 109)]
    assert [stage.sizes for stage in stages] == [(32,)] * 2 + [(64,)] * 7
    assert [stage.mosaics for stage in stages] == [True] * 4 + [False] * 2 + [True] * 2 + [False]
    assert [stage.coco_share for stage in stages] == [0.3] * 6 + [0.4] * 3


def test_bfloat16_learns_much_the_same(material: Material) -> None:
    batch = make_batch(material, 0, replace(STAGE, mosaics=False))
    exact, half = trainer(PLAN), trainer(replace(PLAN, half=True))
    for _ in range(2):
        exact.learn(batch)
        half.learn(batch)
    torch.testing.assert_close(half.learn(batch), exact.learn(batch), rtol=0.05, atol=0.05)
    assert all(value.dtype == torch.float32 for value in half.average.values())


def test_the_average_is_of_many_steps_soon_and_of_a_thousand_at_last(material: Material) -> None:
    learner = trainer(PLAN)
    name = next(iter(learner.average))
    with torch.no_grad():
        learner.average[name].zero_()
        learner.network.state_dict()[name].fill_(1.0)
        for step, share in ((1, 0.9), (91, 0.09), (10**6, 0.001)):
            learner.average[name].zero_()
            learner.step = step
            learner.remember()
            assert float(learner.average[name].mean()) == pytest.approx(share, rel=1e-3)


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    trainer(PLAN).save(path)
    trainer(replace(PLAN, half=True, keep_every_s=1.0)).restore(path)
    with pytest.raises(ValueError, match=r"another plan.*--output"):
        trainer(replace(PLAN, warm_up=2)).restore(path)
    with pytest.raises(ValueError, match="another plan"):
        Trainer(Detector(width=16), PLAN, material="other pictures").restore(path)
    kept = averaged_of(path).state_dict()
    assert all(torch.equal(kept[k], v) for k, v in trainer(PLAN).average.items())


def test_a_batch_that_can_not_be_made_ends_the_training_with_its_error(material: Material) -> None:
    nobody = replace(material, faces=[], coco=[])
    with pytest.raises(ValueError, match="high <= 0"):
        list(stream(nobody, range(5), PLAN.stage_at))


@pytest.mark.parametrize("steps", [range(0), range(1), range(3, 9)])
def test_every_step_has_its_batch_in_order(steps: range, material: Material) -> None:
    assert [b.step for b in stream(material, steps, lambda _: Stage((32,), False))] == list(steps)


@pytest.mark.gpu
def test_a_gpu_learns_what_the_processor_learns(material: Material, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    batch = make_batch(material, 0, replace(STAGE, mosaics=False))
    here, there = trainer(PLAN), Trainer(trainer(PLAN).network, PLAN, "cuda")
    for _ in range(3):
        a, b = there.learn(batch), here.learn(batch)
    torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2)
    there.save(tmp_path / CHECKPOINT)
    back = trainer(PLAN)
    back.restore(tmp_path / CHECKPOINT)
    assert {value.device.type for value in back.average.values()} == {"cpu"}
