"""The three knobs of a model's config that a sweep turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sightline_engines.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Setting:
    """How many instances run a model, and how its batches are formed."""

    instances: int
    preferred_batch_sizes: tuple[int, ...] = ()  # (): as many as wait
    max_queue_delay_us: int = 0

    def __str__(self) -> str:
        plural = "" if self.instances == 1 else "s"
        sizes = " and ".join(map(str, self.preferred_batch_sizes)) or "any"
        return (
            f"{self.instances} instance{plural}, preferred batch {sizes}, "
            f"queue delay {self.max_queue_delay_us} µs"
        )


def setting_of(config: Any) -> Setting:
    """Return what a `ModelConfig` says; several instance groups count as the largest."""
    batching = config.dynamic_batching
    return Setting(
        instances=max((group.count for group in config.instance_group), default=1) or 1,
        preferred_batch_sizes=tuple(batching.preferred_batch_size),
        max_queue_delay_us=batching.max_queue_delay_microseconds,
    )


def apply(config: Any, setting: Setting, name: str) -> Any:
    """Return a model's `ModelConfig` with a setting; all else, GPUs and queue limits too, stays.

    Raises ProviderError where the model can't have it.
    """
    most = config.max_batch_size
    batches = setting.preferred_batch_sizes or setting.max_queue_delay_us
    if batches and not most:
        raise ProviderError(
            f"{name} takes no batches (max_batch_size is 0), so neither preferred batches "
            "nor a queue delay can be tried. Leave them out, and sweep the instances alone."
        )
    if any(not 1 <= size <= most for size in setting.preferred_batch_sizes):
        sizes = ", ".join(map(str, setting.preferred_batch_sizes))
        raise ProviderError(
            f"A preferred batch of {sizes} can't be: {name} takes batches of 1 to {most}."
        )
    made = type(config)()
    made.CopyFrom(config)
    if not made.instance_group:
        made.instance_group.add()
    for group in made.instance_group:
        group.count = setting.instances
    if batches or made.HasField("dynamic_batching"):
        made.dynamic_batching.SetInParent()
        made.dynamic_batching.preferred_batch_size[:] = setting.preferred_batch_sizes
        made.dynamic_batching.max_queue_delay_microseconds = setting.max_queue_delay_us
    return made
