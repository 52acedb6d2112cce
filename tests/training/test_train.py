"""Training learns, and goes on from a checkpoint as if it had never stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from sightline_training.batches import Material, Recipe, Stage, make_batch, stream  # noqa: E402
from sightline_training.network import Detector  # noqa: E402
from sightline_training.train import CHECKPOINT, EXPORTED, Cycle, Plan, Trainer, run  # noqa: E402
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
    torch.testing.assert_close(half.learn(batch), exact.learn(batch), rtol=0.03, atol=0.03)
    assert all(value.dtype == torch.float32 for value in half.average.values())


@pytest.mark.gpu
def test_a_gpu_learns_what_the_processor_learns(material: Material, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    batch = make_batch(material, 0, replace(STAGE, mosaics=False))
    here, there = trainer(PLAN), Trainer(trainer(PLAN).network, PLAN, "cuda")
    torch.testing.assert_close(there.learn(batch), here.learn(batch), rtol=1e-2, atol=1e-2)
    there.save(tmp_path / CHECKPOINT)
    back = trainer(PLAN)
    back.restore(tmp_path / CHECKPOINT)
    assert {value.device.type for value in back.average.values()} == {"cpu"}
