"""Sizes of the built-in network."""

from dataclasses import dataclass


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
