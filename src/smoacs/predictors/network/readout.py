"""Kernel readout: a property learnt from few crystals, on what a finished trunk knows of them.

A head that learns with the trunk memorises a thousand labels. The mean of a Gaussian process (C. E.
Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), chapter 2) on the
features of a trunk does less: its kernel adds a Gaussian of the distance between summaries of the
layers and one of the distance between `Composition` descriptors and the other properties. Far from
all of its crystals both vanish, and the mean of the labels is left. All buffers are set by
`smoacs.training.spread.readout`.
"""

import torch
from torch import Tensor, nn

from smoacs.chemistry import valence_table
from smoacs.predictors.network.spread import between

SQRT, LINEAR = "sqrt", "linear"
"""Forms: the square root of a property that is never negative is fitted, or the value itself."""

DESCRIPTOR_WEIGHT = 0.25
"""Of the descriptors' part of the kernel, against 1 for the layers'."""

HALF = ("project", "points", "described")
"""Buffers that a weights file holds in half precision; the fit rounds them to that."""

DESCRIPTORS = 2 * valence_table().shape[1]
"""How many numbers `Composition` gives: means and deviations of five, a volume and a mass."""

_SMALLEST_VARIANCE = 1e-4
"""Keeps the slope of a standard deviation over equal atoms finite, in squared features."""


def layer_summary(layers: list[Tensor], system_idx: Tensor, counts: Tensor) -> Tensor:
    """Means and standard deviations over atoms of all layers [M, N, C]: [M, B, 2 C layers]."""
    h = torch.cat(layers, dim=2)
    zeros = h.new_zeros(h.shape[0], len(counts), h.shape[2])
    mean = zeros.index_add(1, system_idx, h) / counts[:, None]
    squares = zeros.index_add(1, system_idx, (h - mean[:, system_idx]) ** 2) / counts[:, None]
    return torch.cat([mean, torch.sqrt(squares + _SMALLEST_VARIANCE)], dim=2)


class Composition(nn.Module):
    """Means and standard deviations over atoms of valence electrons, volume and mass."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        table = torch.as_tensor(valence_table(), dtype=torch.float32)
        self.register_buffer("table", table, persistent=False)

    def forward(self, composition: Tensor, volume: Tensor) -> Tensor:
        """Descriptors that need no network, [B, d].

        Args:
            composition: Share of each element, [B, E].
            volume: Å³ per atom, [B].
        """
        table = self.table.to(composition)
        electrons, mass = table[:, :-1], table[:, -1]
        mean = composition @ electrons
        variance = composition @ electrons**2 - mean**2
        deviation = torch.sqrt(torch.relu(variance) + _SMALLEST_VARIANCE)
        inertia = torch.rsqrt(composition @ mass)
        return torch.cat([mean, deviation, torch.log(volume)[:, None], inertia[:, None]], dim=1)


class KernelReadout(nn.Module):
    """One property of each member from layer summaries and descriptors: see the module.

    With a = (summary - center) project and b = (descriptors - middle) / width, the latent value is
    prior + Σ_i weight_i (exp(-|a - a_i|²) + w exp(-|b - b_i|²)) / (1 + w), bent into low to high,
    and the property unit × that, or unit × its square in the form `SQRT`.
    """

    center: Tensor
    project: Tensor
    points: Tensor
    middle: Tensor
    width: Tensor
    described: Tensor
    weight: Tensor
    prior: Tensor
    unit: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, form: str, project: tuple[int, ...], described: tuple[int, ...]) -> None:
        """Make an empty one.

        Args:
            form: `SQRT` or `LINEAR`.
            project: Members, features, components.
            described: Members, crystals, descriptors.

        Raises:
            ValueError: If there is no such form.
        """
        super().__init__()
        if form not in (SQRT, LINEAR):
            msg = f"a readout is of the form {SQRT} or {LINEAR}, not {form!r}"
            raise ValueError(msg)
        self.form = form
        members, features, components = project
        _, crystals, descriptors = described
        self.register_buffer("center", torch.zeros(members, 1, features))
        self.register_buffer("project", torch.zeros(project))
        self.register_buffer("points", torch.zeros(members, crystals, components))
        self.register_buffer("middle", torch.zeros(members, 1, descriptors))
        self.register_buffer("width", torch.ones(members, 1, descriptors))
        self.register_buffer("described", torch.zeros(described))
        self.register_buffer("weight", torch.zeros(members, crystals, 1))
        self.register_buffer("prior", torch.zeros(members, 1))
        for name, value in (("unit", 1.0), ("low", 0.0), ("high", 1.0)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, summary: Tensor, descriptors: Tensor) -> Tensor:
        """Values in the property's unit, [M, B].

        Args:
            summary: What `layer_summary` gives, [M, B, features].
            descriptors: [M, B, descriptors].
        """
        a = (summary - self.center) @ self.project
        b = (descriptors - self.middle) / self.width
        kernel = kernel_of(squared(a, self.points), squared(b, self.described))
        return self.value((kernel @ self.weight).squeeze(2) + self.prior)

    def value(self, latent: Tensor) -> Tensor:
        """Values in the property's unit from latent ones, of any shape."""
        bent = between(latent, self.low, self.high)
        return self.unit * (bent * bent if self.form == SQRT else bent)


def kernel_of(layers: Tensor, descriptors: Tensor) -> Tensor:
    """The kernel from both squared distances, of the same shape."""
    total = torch.exp(-layers) + DESCRIPTOR_WEIGHT * torch.exp(-descriptors)
    return total / (1.0 + DESCRIPTOR_WEIGHT)


def squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of rows, [M, B, k] and [M, n, k] -> [M, B, n]."""
    of_a, of_b = (a * a).sum(2, keepdim=True), (b * b).sum(2).unsqueeze(1)
    return torch.baddbmm(of_a + of_b, a, b.transpose(1, 2), alpha=-2.0)
