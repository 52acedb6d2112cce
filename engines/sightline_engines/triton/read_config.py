"""What a config.pbtxt says, as our own types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sightline_engines.triton.config import ConfigTensor, messages


def tensors_of(ports: Iterable[Any]) -> tuple[ConfigTensor, ...]:
    """Return the inputs or outputs of a `ModelConfig`."""
    return tuple(
        ConfigTensor(port.name, datatype(port.data_type), tuple(port.dims)) for port in ports
    )


def datatype(data_type: int) -> str:
    """Return a protocol's name for a config's type: TYPE_STRING is BYTES."""
    name = str(messages().DataType.Name(data_type)).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def parameters_of(message: Any) -> dict[str, str]:
    """Return the parameters of a `ModelConfig`."""
    return {name: str(value.string_value) for name, value in message.parameters.items()}
