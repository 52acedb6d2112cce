"""Looks: the colours of a drawn person."""

from __future__ import annotations

from dataclasses import dataclass

from sightline_training.drawn.sprite import Colour


@dataclass(frozen=True, slots=True)
class Looks:
    """Skin, hair and shirt."""

    skin: Colour = (140.0, 172.0, 222.0)
    hair: Colour = (30.0, 44.0, 66.0)
    shirt: Colour = (150.0, 98.0, 52.0)

    def tone(self, factor: float) -> Colour:
        """Darken or lighten the skin; shadows in skin are redder than it."""
        blue, green, red = self.skin
        deeper = min(factor, 1.0)
        return (
            blue * factor * (0.7 + 0.3 * deeper),
            green * factor * (0.8 + 0.2 * deeper),
            red * factor,
        )

    def dyed(self, factor: float) -> Colour:
        """Darken or lighten the shirt."""
        return scaled(self.shirt, factor)


def scaled(colour: Colour, factor: float) -> Colour:
    """Darken or lighten a colour."""
    blue, green, red = colour
    return blue * factor, green * factor, red * factor


PEOPLE = (
    Looks(),
    Looks((82.0, 112.0, 160.0), (16.0, 18.0, 24.0), (70.0, 70.0, 176.0)),
    Looks((52.0, 72.0, 108.0), (12.0, 12.0, 16.0), (190.0, 190.0, 186.0)),
    Looks((162.0, 192.0, 236.0), (70.0, 130.0, 178.0), (92.0, 128.0, 64.0)),
)
