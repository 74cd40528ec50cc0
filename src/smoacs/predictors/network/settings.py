"""Sizes of the built-in network."""

from dataclasses import dataclass, fields
from typing import ClassVar

from pydantic import ConfigDict

from smoacs.errors import short

LIMITS = {
    "cutoff": (1.0, 20.0),
    "channels": (1, 8192),
    "moment_channels": (1, 1024),
    "hidden": (2, 16384),
    "layers": (1, 32),
    "radial": (2, 512),
    "moment_radial": (2, 512),
    "attention_heads": (1, 64),
    "members": (1, 64),
}
"""From where to where each size may be: beyond, a mistake is more likely than a network."""


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of the network; stored in the header of the weights.

    Attributes:
        cutoff: Up to which atoms are neighbours, Å.
        channels: Features of an atom, and channels of the messages without a direction.
        moment_channels: Channels of the messages with a direction (degrees 1 and 2).
        hidden: Width of the update's inner layer; heads have half of it.
        layers: Interactions, one after the other.
        radial: Radial functions of a pair, for messages without a direction.
        moment_radial: The same for those with one.
        attention_heads: Weighted means over a crystal's atoms, beside the plain one.
        members: Networks of the ensemble.
        normalise_messages: Whether features are normalised before they are sent. Without it, as in
            the weights made before it came, moments grow until their invariants act like steps, and
            the energy is rough on the scale of 0.01 Å.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    cutoff: float = 5.0
    channels: int = 128
    moment_channels: int = 16
    hidden: int = 256
    layers: int = 3
    radial: int = 16
    moment_radial: int = 8
    attention_heads: int = 4
    members: int = 1
    normalise_messages: bool = False

    def check(self) -> None:
        """Hold every size to `LIMITS`.

        Raises:
            ValueError: One is not a number, or outside.
        """
        for size in fields(self):
            if size.name in LIMITS:
                low, high = LIMITS[size.name]
                value = getattr(self, size.name)
                if not low <= value <= high:
                    raise ValueError(f"{size.name} = {short(value)} must be from {low} to {high}")
