"""Calibrated spread: how far a prediction may be off, from the members and from the crystal.

Members of an ensemble agree on what none of them could learn, so their disagreement alone says too
little. The variance is (a x members' spread)² + σ(x)² + floor², with σ the exponential of a linear
function of what the network knows of the crystal, held between the least and the largest value that
it had on the calibration crystals: far from them only the members' spread grows.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_VARIANCE = 1e-12
"""Keeps the slope of the members' spread finite where they agree."""

_SMALL = 0.1
"""Output scales; errors of a property that is never negative grow with it, from here on."""

_AGREEMENT = 1e-5
"""Members' variances, in squared output scales, below which they count as agreeing."""

_SHARPNESS = 8.0


def member_spread(values: Tensor) -> Tensor:
    """Standard deviation over members, [M, B, P] -> [B, P]; hardly above 0 for a single one."""
    variance = ((values - values.mean(0)) ** 2).sum(0) / max(1, values.shape[0] - 1)
    return torch.sqrt(variance + SMALLEST_VARIANCE)


def spread_features(values: Tensor, pooled: Tensor, composition: Tensor, scale: Tensor) -> Tensor:
    """What σ is a function of, all of it smooth and the same for a supercell, [B, features].

    Args:
        values: Raw outputs of the members, [M, B, P].
        pooled: Means over atoms, the plain one first, then one for each head of attention,
            [M, B, heads + 1, C].
        composition: Share of each element, [B, E].
        scale: Output scale of each property, [P].
    """
    plain, attended = pooled[:, :, 0], pooled[:, :, 1:]
    contrast = torch.log(((attended - plain.unsqueeze(2)) ** 2).mean(3) + 1e-4)
    units = values / scale
    doubt = torch.log(member_spread(units) ** 2 + _AGREEMENT)
    mean = units.mean(0)
    evenness = torch.log((composition**2).sum(1, keepdim=True))
    members = torch.cat([plain, contrast], dim=2).transpose(0, 1).flatten(1)
    positive = torch.relu(mean)
    summary = [doubt, evenness, mean, positive, torch.log(positive + _SMALL)]
    return torch.cat([members, composition, *summary], dim=1)


def summary_count(n_properties: int) -> int:
    """How many of `spread_features`, the last ones, are the values and their doubt."""
    return 4 * n_properties + 1


def feature_count(members: int, pooled: int, elements: int, n_properties: int) -> int:
    """How many `spread_features` there are, with so many pooled ones of each member."""
    return members * pooled + elements + summary_count(n_properties)


class SpreadHead(nn.Module):
    """Standard deviation of each property, from `spread_features` and the members' spread.

    Values and spreads are those of the raw outputs: decades for a property held as a logarithm. All
    buffers are set by the calibration (`smoacs.training.spread.calibration`).
    """

    center: Tensor
    width: Tensor
    weight: Tensor
    bias: Tensor
    low: Tensor
    high: Tensor
    member_factor: Tensor
    floor: Tensor

    def __init__(self, n_features: int, n_properties: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("width", torch.ones(n_features))
        self.register_buffer("weight", torch.zeros(n_features, n_properties))
        for name, value in (("bias", 0.0), ("low", -30.0), ("high", 30.0)):
            self.register_buffer(name, torch.full((n_properties,), value))
        for name in ("member_factor", "floor"):
            self.register_buffer(name, torch.ones(n_properties))

    def forward(self, features: Tensor, members: Tensor) -> Tensor:
        """Standard deviations, [B, P].

        Args:
            features: What `spread_features` gives, [B, features].
            members: What `member_spread` gives, [B, P].
        """
        logarithm = ((features - self.center) / self.width) @ self.weight + self.bias
        sigma = torch.exp(between(logarithm, self.low, self.high))
        variance = (self.member_factor * members) ** 2 + sigma**2 + self.floor**2
        return torch.sqrt(variance)

    def rescale(self, factor: Tensor) -> None:
        """Multiply every standard deviation by a factor for each property, [P], in place."""
        logarithm = torch.log(factor)
        for added in (self.bias, self.low, self.high):
            added.add_(logarithm)
        for multiplied in (self.member_factor, self.floor):
            multiplied.mul_(factor)


def between(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values bent smoothly into the range from `low` to `high`."""
    bent = high - F.softplus(_SHARPNESS * (high - x)) / _SHARPNESS
    return low + F.softplus(_SHARPNESS * (bent - low)) / _SHARPNESS


def slope_of_power(exponent: Tensor, limit: float) -> Tensor:
    """Slope of `power_of_ten`: turns decades into the property's unit."""
    return math.log(10.0) * 10.0 ** exponent.clamp(max=limit)
