"""Options that several commands have; light to import, as every command's help needs them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Model = Annotated[
    str | None,
    typer.Option(help="A model's name (`sightline models list`), or an ONNX file."),
]
Engine = Annotated[
    Literal["auto", "onnxruntime", "openvino", "tensorrt", "triton"] | None,
    typer.Option(help="What runs the model; auto takes the fastest that is here."),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 or tensorrt; the best if not given.")
]
Host = Annotated[
    str | None,
    typer.Option(help="Address to listen on: 127.0.0.1 if not given, 0.0.0.0 for all."),
]
