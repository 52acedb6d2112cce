"""Command line: label, train, export, evaluate, publish and draw the model that ships."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.errors import SightlineError
from sightline_training.teachers import are_current, label_sets

ASSETS = Path(__file__).resolve().parent.parent / "sightline_engines" / "assets"
SHIPPED = ASSETS / f"{SHIPPED_NAME}.onnx"
COMMANDS = ("label", "train", "export", "threshold", "publish", "evaluate", "card")


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number


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
            command.add_argument("--conf", type=share, help="0 to 1; else chosen, or the sidecar's")
        if name == "evaluate":
            command.add_argument("--empty", type=Path, help="folder of pictures without people")
            command.add_argument("--check", action="store_true", help="fail on a missed aim")
        if name == "card":
            command.add_argument("--docs", type=Path, default=Path("docs"))
        if name == "train":
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--threads", type=int, default=2)
            command.add_argument(
                "--device", choices=("cpu", "cuda"), help="else cuda where there is one"
            )
    return root


def label(arguments: argparse.Namespace) -> Path:
    """Make the labels the sets lack, unless they lie there already."""
    path: Path = arguments.output / "labels.json"
    weights = arguments.data / "weights"
    person, face = arguments.init or weights / "yolox_nano.onnx", weights / "version-RFB-320.onnx"
    if not are_current(path, person, face):
        label_sets(arguments.data, person, face, path)
    return path


def train(arguments: argparse.Namespace) -> None:
    """Start, or go on from the output folder's checkpoint."""
    import torch

    from sightline_training.batches import Material, Recipe
    from sightline_training.plan import Plan
    from sightline_training.samples import load
    from sightline_training.teachers import read_labels
    from sightline_training.train import CHECKPOINT, Trainer, halves, run
    from sightline_training.weights import initial

    torch.set_num_threads(arguments.threads)
    labels = label(arguments)
    faces, coco = (
        load(arguments.data, name, read_labels(labels, name), held=False)
        for name in ("faces", "coco")
    )
    recipe = Recipe(seed=arguments.seed)
    material = f"{recipe}, labels {hashlib.sha256(labels.read_bytes()).hexdigest()}"
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(export_size=arguments.size, half=halves(device))
    network = initial(arguments.init or arguments.data / "weights/yolox_nano.onnx")
    trainer = Trainer(network, plan, device, material)
    if (arguments.output / CHECKPOINT).exists():
        trainer.restore(arguments.output / CHECKPOINT)
        print(f"going on from step {trainer.step}", flush=True)
    samples = Material(faces, coco, recipe)
    run(trainer, samples, arguments.output, lambda text: print(text, flush=True))


def export_checkpoint(arguments: argparse.Namespace) -> Path:
    """Export the averaged weights of the output folder's checkpoint."""
    from sightline_training.export import export
    from sightline_training.train import CHECKPOINT, EXPORTED, averaged_of

    path: Path = arguments.output / EXPORTED
    export(averaged_of(arguments.output / CHECKPOINT), arguments.size, path)
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

    exported: Path = arguments.model or arguments.output / "latest.onnx"
    if not exported.is_file():
        raise FileNotFoundError(
            f"{exported} not found. --model names the exported ONNX file, or --output the folder "
            "of the training."
        )
    with TemporaryDirectory() as folder:
        # a training that goes on may replace the file while its threshold is chosen
        copy = Path(shutil.copyfile(exported, Path(folder) / exported.name))
        confidence = arguments.conf
        if confidence is None:
            confidence = choose_threshold(arguments, copy)
        for path in publish(copy, arguments.data, ASSETS, confidence):
            print(path)


def evaluate(arguments: argparse.Namespace) -> int:
    """Print the figures; return the exit status."""
    from sightline_training.measure.aims import accurate
    from sightline_training.measure.alarms import pictures_in
    from sightline_training.measure.report import evaluate as measure

    verdicts = measure(
        arguments.model or SHIPPED,
        arguments.data,
        lambda text: print(text + "\n", flush=True),
        arguments.conf,
        pictures_in(arguments.empty) if arguments.empty else [],
    )
    return int(arguments.check and not accurate(verdicts))


def draw_card(arguments: argparse.Namespace) -> None:
    """Draw the pictures of the model card, and print the table of what is missed."""
    from sightline_training.card import curves, failures

    model = arguments.model or SHIPPED
    curves.draw(model, arguments.data, arguments.docs / "model-curves.png")
    print(failures.draw(model, arguments.data, arguments.docs / "model-failures.png"))


def main() -> int:
    """Run one command; return the exit status, or end with what is wrong."""
    try:
        return run_command(parser().parse_args())
    except (FileNotFoundError, ValueError, SightlineError) as error:
        sys.exit(str(error))


def run_command(arguments: argparse.Namespace) -> int:
    """Run the command that was named."""
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
