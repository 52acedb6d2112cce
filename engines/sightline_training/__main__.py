"""Command line: label, train, export, evaluate, publish and draw the model that ships."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sightline_engines.assets import SHIPPED_NAME
from sightline_training.teachers import label_sets

ASSETS = Path(__file__).resolve().parent.parent / "sightline_engines" / "assets"
SHIPPED = ASSETS / f"{SHIPPED_NAME}.onnx"
COMMANDS = ("label", "train", "export", "threshold", "publish", "evaluate", "card")


def parser() -> argparse.ArgumentParser:
    """Build the parser of the commands."""
    root = argparse.ArgumentParser(prog="sightline_training", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, default=Path("../shared/data"))
        command.add_argument("--output", type=Path, default=Path("runs/default"))
        if name in ("label", "train"):
            command.add_argument("--init", type=Path, help="YOLOX-Nano ONNX; else the data's")
        if name in ("train", "export"):
            command.add_argument("--size", type=int, default=416, help="input side of the ONNX")
        if name in ("threshold", "publish", "evaluate", "card"):
            command.add_argument("--model", type=Path, help="else the shipped or exported file")
        if name in ("publish", "evaluate"):
            command.add_argument("--conf", type=float, help="else chosen, or the sidecar's")
        if name == "evaluate":
            command.add_argument("--empty", type=Path, help="folder of pictures without people")
            command.add_argument("--check", action="store_true", help="fail on a missed aim")
        if name == "card":
            command.add_argument("--docs", type=Path, default=Path("docs"))
        if name == "train":
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--threads", type=int, default=2)
            command.add_argument("--device", help="cpu or cuda; else cuda where there is one")
    return root


def label(arguments: argparse.Namespace) -> Path:
    """Make the labels the sets lack, unless they lie there already."""
    path: Path = arguments.output / "labels.json"
    if not path.exists():
        weights = arguments.data / "weights"
        person = arguments.init or weights / "yolox_nano.onnx"
        label_sets(arguments.data, person, weights / "version-RFB-320.onnx", path)
    return path


def train(arguments: argparse.Namespace) -> None:
    """Start, or go on from the output folder's checkpoint."""
    import torch

    from sightline_training.batches import Material, Recipe
    from sightline_training.samples import load
    from sightline_training.teachers import read_labels
    from sightline_training.train import CHECKPOINT, Plan, Trainer, halves, run
    from sightline_training.weights import initial

    torch.set_num_threads(arguments.threads)
    labels = label(arguments)
    faces, coco = (
        load(arguments.data, name, read_labels(labels, name), held=False)
        for name in ("faces", "coco")
    )
    material = Material(faces, coco, Recipe(seed=arguments.seed))
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(export_size=arguments.size, half=halves(device))
    network = initial(arguments.init or arguments.data / "weights/yolox_nano.onnx")
    trainer = Trainer(network, plan, device)
    if (arguments.output / CHECKPOINT).exists():
        trainer.restore(arguments.output / CHECKPOINT)
        print(f"going on from step {trainer.step}", flush=True)
    run(trainer, material, arguments.output, lambda text: print(text, flush=True))


def export_checkpoint(arguments: argparse.Namespace) -> Path:
    """Export the averaged weights of the output folder's checkpoint."""
    from sightline_training.export import export
    from sightline_training.network import Detector
    from sightline_training.train import CHECKPOINT, EXPORTED, Plan, Trainer

    trainer = Trainer(Detector(), Plan())
    trainer.restore(arguments.output / CHECKPOINT)
    path: Path = arguments.output / EXPORTED
    export(trainer.averaged(), arguments.size, path)
    return path


def choose_threshold(arguments: argparse.Namespace, model: Path) -> float:
    """Choose the default threshold on the training side, and print what from."""
    from sightline_training.measure.threshold import threshold

    chosen, table = threshold(model, arguments.data)
    print(f"{table}\n\n{chosen:.2f} is the default threshold of {model.name}.", flush=True)
    return chosen


def publish_both(arguments: argparse.Namespace) -> None:
    """Put the exported file and its INT8 version where the package ships them from."""
    from sightline_training.publish import publish

    exported = arguments.model or arguments.output / "latest.onnx"
    confidence = arguments.conf or choose_threshold(arguments, exported)
    for path in publish(exported, arguments.data, ASSETS, confidence):
        print(path)


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the figures; return the exit status."""
    from sightline_training.measure.aims import accurate
    from sightline_training.measure.alarms import pictures_in
    from sightline_training.measure.report import evaluate as measure
    from sightline_training.measure.report import require

    model = arguments.model or SHIPPED
    try:
        require(model, arguments.data)
        empty = pictures_in(arguments.empty) if arguments.empty else []
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    verdicts = measure(
        model,
        arguments.data,
        lambda text: print(text + "\n", flush=True),
        arguments.conf,
        empty,
    )
    return int(arguments.check and not accurate(verdicts))


def draw_card(arguments: argparse.Namespace) -> None:
    """Draw the pictures of the model card."""
    from sightline_training.card import curves, failures

    model = arguments.model or SHIPPED
    curves.draw(model, arguments.data, arguments.docs / "model-curves.png")
    failures.draw(model, arguments.data, arguments.docs / "model-failures.png")


def main() -> int:
    """Run one command; return the exit status."""
    arguments = parser().parse_args()
    match arguments.command:
        case "label":
            print(label(arguments))
        case "train":
            train(arguments)
        case "export":
            print(export_checkpoint(arguments))
        case "threshold":
            choose_threshold(arguments, arguments.model or SHIPPED)
        case "publish":
            publish_both(arguments)
        case "evaluate":
            return evaluate(arguments)
        case "card":
            draw_card(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
