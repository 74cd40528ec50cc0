"""The built-in network, from soft crystals to properties, and what it is made of."""

from smoacs.predictors.network.model import Network, power_of_ten
from smoacs.predictors.network.settings import NetworkSettings

__all__ = ["Network", "NetworkSettings", "power_of_ten"]
