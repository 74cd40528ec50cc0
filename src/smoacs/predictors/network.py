"""The built-in network: one smooth message-passing trunk for several properties.

Soft species enter as probability-weighted embeddings. Messages are linear in functions of the edge
vector (radial Gaussians times spherical harmonics of degree 0, 1 and 2, under a smooth cutoff), as
in the atomic cluster expansion (R. Drautz, Phys. Rev. B 99, 014104 (2019)) and SchNet (K. Schütt et
al., J. Chem. Phys. 148, 241722 (2018)). Being linear, all images of one pair of atoms can be summed
before the channels come in: in a small cell that saves an order of magnitude. Invariants of degree
2 and 3 of the summed moments carry the angles.

All parameters have a leading member axis, so an ensemble is one batched pass that shares the
geometry.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from ase.data import covalent_radii
from torch import Tensor, nn
from torch.nn import functional as F

from smoacs.chemistry import N_ELEMENTS
from smoacs.predictors.asinh import asinh
from smoacs.predictors.derived import Derived
from smoacs.predictors.harmonics import QUADRATIC, cubic_invariant, harmonics, quadratic_factors
from smoacs.predictors.layers import MemberLinear, MemberMLP
from smoacs.predictors.messages import FEW_PAIRS, Blocks, blocks_of, frozen_messages, side_by_side
from smoacs.predictors.readout import Composition, layer_summary
from smoacs.predictors.spread import SpreadHead, member_spread, slope_of_power, spread_features

if TYPE_CHECKING:
    from smoacs.crystals import Crystals, NeighborList


@dataclass(frozen=True)
class Wall:
    """Atoms closer than a share of the sum of their covalent radii repel, whatever the layers say.

    Attributes:
        onset: The share (1 in 500 relaxed crystals has a pair below 0.70).
        strength: eV, times (onset - ratio)² for each pair.
    """

    onset: float
    strength: float


WALL = Wall(0.71, 500.0)
"""Of predictions."""

TRAINING_WALL = Wall(0.69, 260.0)
"""The layers learn to make up for the wall that they are trained with, so this one is lower: the
difference keeps crushed crystals above the potential that labelled them."""


def power_of_ten(exponent: Tensor, limit: float) -> Tensor:
    """10 to the exponents; beyond `limit` the tangent there goes on, so nothing overflows."""
    inside = exponent.clamp(max=limit)
    return 10.0**inside * (1.0 + math.log(10.0) * (exponent - inside))


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of the network; stored in the header of the weights.

    Attributes:
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


@dataclass(frozen=True)
class PairGeometry:
    """Radial functions times spherical harmonics, summed over the images of each atom pair.

    Attributes:
        index: Atoms i <= j of each pair, [2, P].
        scalar: Degree 0, [P, K0].
        moments: Degrees 1 (three components) and 2 (five), component first so that products with
            channels run over contiguous memory, [8, P, K1].
        repulsion: Energy of overlapping atoms, eV per atom of each crystal, [B].
        factors: See `quadratic_factors`.
    """

    index: Tensor
    scalar: Tensor
    moments: Tensor
    repulsion: Tensor
    factors: Tensor

    @cached_property
    def blocks(self) -> Blocks:
        """The pairs in blocks, for the sums of all layers."""
        return blocks_of(self.index)


class Geometry(nn.Module):
    """From crystals to pair features; no parameters."""

    centers: Tensor
    m_centers: Tensor
    covalent_radii: Tensor
    quadratic: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.cutoff = settings.cutoff
        self.wall = WALL
        self.register_buffer("centers", torch.linspace(0.8, settings.cutoff, settings.radial))
        moment_centers = torch.linspace(0.8, settings.cutoff, settings.moment_radial)
        self.register_buffer("m_centers", moment_centers)
        radii = torch.tensor(covalent_radii[1 : N_ELEMENTS + 1], dtype=torch.float32)
        self.register_buffer("covalent_radii", radii, persistent=False)
        self.register_buffer("quadratic", QUADRATIC, persistent=False)
        self._gaussians = Derived(_centers_and_widths)

    def forward(self, crystals: Crystals, neighbors: NeighborList) -> PairGeometry:
        """Compute the pair features of all crystals."""
        index, pair = neighbors.pairs
        vectors = neighbors.vectors(crystals)
        distance = torch.sqrt((vectors * vectors).sum(1, keepdim=True) + 1e-12)
        envelope = torch.where(
            distance < self.cutoff, 0.5 * (torch.cos(distance * (math.pi / self.cutoff)) + 1), 0.0
        )
        centers, widths = self._gaussians(self.centers, self.m_centers)
        radial = torch.exp(-0.5 * ((distance - centers) / widths) ** 2) * envelope
        scalar, radial = radial.split([len(self.centers), len(self.m_centers)], dim=1)
        factors = quadratic_factors(self.quadratic)
        moments = harmonics(vectors / distance, factors).unsqueeze(2) * radial.unsqueeze(1)
        n_pairs = index.shape[1]
        return PairGeometry(
            index=index,
            scalar=_of_pairs(scalar, pair, n_pairs),
            moments=_of_pairs(moments, pair, n_pairs).transpose(0, 1).contiguous(),
            repulsion=self._repulsion(crystals, neighbors, distance.squeeze(1)),
            factors=factors,
        )

    def _repulsion(self, crystals: Crystals, neighbors: NeighborList, distance: Tensor) -> Tensor:
        radius = crystals.species_probs @ self.covalent_radii.to(distance)
        i, j = neighbors.edge_index
        ratio = distance / (radius.index_select(0, i) + radius.index_select(0, j))
        total = distance.new_zeros(crystals.n_systems)
        # A processor sees at once that nothing overlaps; a GPU would have to be waited for.
        if total.device.type == "cpu" and not (ratio < self.wall.onset).any():
            return total
        energy = self.wall.strength * torch.relu(self.wall.onset - ratio) ** 2
        return total.index_add_(0, crystals.system_idx[i], energy) / crystals.counts


def _centers_and_widths(*centers: Tensor) -> tuple[Tensor, Tensor]:
    """Of Gaussians around evenly spaced centres, Å, several rows [K]: each [sum of K]."""
    widths = torch.cat([(row[1] - row[0]).expand(len(row)) for row in centers])
    return torch.cat(centers), widths


def _of_pairs(x: Tensor, pair: Tensor, n_pairs: int) -> Tensor:
    """Sums over the edges, [M, ...], of each pair, [P, ...]."""
    if len(pair) == n_pairs:  # in a large cell, every edge joins a pair of its own
        return x
    return x.new_zeros(n_pairs, *x.shape[1:]).index_add_(0, pair, x)


class Interaction(nn.Module):
    """One round of messages and the update of the atoms' features."""

    sign: Tensor

    def __init__(self, s: NetworkSettings) -> None:
        super().__init__()
        m, c, c1 = s.members, s.channels, s.moment_channels
        self.filter = MemberLinear(m, s.radial, c, bias=False)
        self.filter1 = MemberLinear(m, s.moment_radial, c1, bias=False)
        self.filter2 = MemberLinear(m, s.moment_radial, c1, bias=False)
        self.send = MemberLinear(m, c, c + c1)
        self.mix1 = MemberLinear(m, c1, c1, bias=False)
        self.mix2 = MemberLinear(m, c1, c1, bias=False)
        self.update = MemberMLP(m, 2 * c + 3 * c1, s.hidden, c)
        self.c1 = c1
        self.normalise = s.normalise_messages
        self._filters = Derived(side_by_side)
        sign = torch.tensor([-1.0] * 3 + [1.0] * 5)
        self.register_buffer("sign", sign[:, None, None], persistent=False)

    def forward(self, h: Tensor, geometry: PairGeometry) -> Tensor:
        """Update the atoms' features, [M, N, C]."""
        a0, a1, a2 = self._messages(self.send(self.normalised(h)), geometry)
        invariants = self._invariants(a1, a2, geometry.factors)
        x = torch.cat([h, asinh(torch.cat([a0, *invariants], dim=2))], dim=2)
        out: Tensor = h + self.update(F.layer_norm(x, x.shape[-1:]))
        return out

    def _messages(self, sent: Tensor, geometry: PairGeometry) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over neighbours of what they send, [M, N, C + c1], by degree.

        These are [M, N, C], [M, 3, N, c1] and [M, 5, N, c1].
        """
        weights = (self.filter.weight, self.filter1.weight, self.filter2.weight)
        many = geometry.index.shape[1] > FEW_PAIRS
        if many and not any(weight.requires_grad for weight in weights):
            pairs, filters = (geometry.scalar, geometry.moments), self._filters(*weights)
            return frozen_messages(sent, pairs, geometry.blocks, filters, sign=self.sign)
        i, j = geometry.index
        m, n, both = sent.shape
        sent, sent1 = sent.split([both - self.c1, self.c1], dim=2)
        w = self.filter(geometry.scalar.expand(m, -1, -1))
        a0 = torch.zeros_like(sent).index_add_(1, i, w * sent[:, j])
        a0.index_add_(1, j, w * sent[:, i])
        w1 = torch.cat(
            [
                geometry.moments[:3] @ self.filter1.weight.unsqueeze(1),
                geometry.moments[3:] @ self.filter2.weight.unsqueeze(1),
            ],
            dim=1,
        )
        a = sent1.new_zeros(m, 8, n, self.c1)
        a.index_add_(2, i, w1 * sent1[:, j].unsqueeze(1))
        a.index_add_(2, j, w1 * self.sign * sent1[:, i].unsqueeze(1))
        return a0, *a.split([3, 5], dim=1)

    def normalised(self, h: Tensor) -> Tensor:
        """Features as they are sent, [M, N, C]."""
        return F.layer_norm(h, h.shape[-1:]) if self.normalise else h

    def _invariants(self, a1: Tensor, a2: Tensor, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two invariants of degree 2 and one of degree 3, each [M, N, c1]."""
        b1, b2 = (
            torch.bmm(part.flatten(1, 2), mix.weight).view_as(part)
            for part, mix in ((a1, self.mix1), (a2, self.mix2))
        )
        cubic = cubic_invariant(b1, a2, factors)
        return (a1 * b1).sum(1), (a2 * b2).sum(1), cubic


class Pooling(nn.Module):
    """Mean and attention-weighted means over each crystal's atoms: [M, N, C] -> [M, B, n_out]."""

    def __init__(self, s: NetworkSettings) -> None:
        super().__init__()
        self.score = MemberLinear(s.members, s.channels, s.attention_heads)
        self.n_out = s.channels * (1 + s.attention_heads)

    def forward(self, h: Tensor, system_idx: Tensor, counts: Tensor) -> Tensor:
        """Pool the features [M, N, C] of each crystal: [M, B, n_out]."""
        m, _, c = h.shape
        b = counts.shape[0]
        weight = torch.exp(5.0 * torch.tanh(self.score(h) / 5.0))
        norm = weight.new_zeros(m, b, weight.shape[2]).index_add_(1, system_idx, weight)
        weighted = (weight.unsqueeze(3) * h.unsqueeze(2)).flatten(2)
        attended = weighted.new_zeros(m, b, weighted.shape[2]).index_add_(1, system_idx, weighted)
        attended = attended.unflatten(2, (-1, c)) / norm.unsqueeze(3)
        mean = h.new_zeros(m, b, c).index_add_(1, system_idx, h) / counts[:, None]
        return torch.cat([mean, attended.flatten(2)], dim=2)


class Network(nn.Module):
    """Properties of crystals, for each member of the ensemble.

    A property in `log10` leaves the layers as the decimal logarithm of its value in its unit, and
    the network with 10 to that; the number is the exponent beyond which `power_of_ten` is straight.
    """

    scale: Tensor
    pooled: Tensor
    repelled: Tensor

    def __init__(
        self,
        settings: NetworkSettings,
        properties: tuple[str, ...],
        log10: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        s = settings
        self.settings = s
        self.properties = properties
        self.log10 = dict(log10 or {})
        self.geometry = Geometry(s)
        self.embedding = nn.Parameter(0.5 * torch.randn(s.members, N_ELEMENTS, s.channels))
        self.interactions = nn.ModuleList(Interaction(s) for _ in range(s.layers))
        self.pooling = Pooling(s)
        self.site_head = MemberMLP(s.members, s.channels, s.hidden // 2, len(properties))
        self.pool_head = MemberMLP(s.members, self.pooling.n_out, s.hidden // 2, len(properties))
        self.element_shift = nn.Parameter(torch.zeros(s.members, N_ELEMENTS, len(properties)))
        self.register_buffer("scale", torch.ones(len(properties)))
        local = [1.0 if p == "formation_energy" else 0.0 for p in properties]
        repelled = [float(p in {"formation_energy", "energy_above_hull"}) for p in properties]
        self.register_buffer("pooled", 1.0 - torch.tensor(local), persistent=False)
        self.register_buffer("repelled", torch.tensor(repelled), persistent=False)
        self.spread: SpreadHead | None = None
        """Set where the spread is calibrated; it belongs to the ensemble, not to a member."""
        self.composition = Composition()
        self.read_out: tuple[str, ...] = ()
        self.readouts = nn.ModuleList()
        """Take the place of the heads of `read_out`; as the spread, they come at the end."""

    def forward(self, crystals: Crystals, neighbors: NeighborList) -> Tensor:
        """Property values, [M, B, properties], in their units; the energy is a sum over atoms."""
        return self.in_units(self.raw(crystals, neighbors))

    def in_units(self, raw: Tensor) -> Tensor:
        """Property values in their units from what the layers give, both [M, B, properties]."""
        if not self.log10:
            return raw
        columns = zip(self.properties, raw.unbind(2), strict=True)
        return torch.stack([self._in_unit(name, column) for name, column in columns], dim=2)

    def _in_unit(self, name: str, column: Tensor) -> Tensor:
        """One property's values in its unit."""
        return power_of_ten(column, self.log10[name]) if name in self.log10 else column

    def raw(self, crystals: Crystals, neighbors: NeighborList) -> Tensor:
        """What the layers give, [M, B, properties]: values, or the logarithms of `log10` ones."""
        return self.raw_and_pooled(crystals, neighbors)[0]

    def raw_and_pooled(
        self, crystals: Crystals, neighbors: NeighborList, *, readouts: bool = True
    ) -> tuple[Tensor, Tensor]:
        """As `raw`, with the pooled features of the crystals, [M, B, pooled features].

        Without `readouts` the properties that have one mean nothing.
        """
        layers, raw, pooled = self._layers_and_heads(crystals, neighbors)
        if self.readouts and readouts:
            inputs = self._readout_inputs(layers, raw, crystals)
            columns = list(raw.unbind(2))
            for name, readout in zip(self.read_out, self.readouts, strict=True):
                columns[self.properties.index(name)] = readout(*inputs)
            raw = torch.stack(columns, dim=2)
        return raw, pooled

    def readout_inputs(self, crystals: Crystals, neighbors: NeighborList) -> tuple[Tensor, Tensor]:
        """What readouts are functions of: summaries of the layers and descriptors, [M, B, ...]."""
        layers, raw, _ = self._layers_and_heads(crystals, neighbors)
        return self._readout_inputs(layers, raw, crystals)

    def _readout_inputs(
        self, layers: list[Tensor], raw: Tensor, crystals: Crystals
    ) -> tuple[Tensor, Tensor]:
        counts = crystals.counts
        summary = layer_summary(layers, crystals.system_idx, counts)
        others = [k for k, name in enumerate(self.properties) if name not in self.read_out]
        plain = self.composition(self.shares(crystals), crystals.volume / counts)
        plain = plain.expand(len(raw), -1, -1)
        return summary, torch.cat([plain, raw[:, :, others]], dim=2)

    def _layers_and_heads(
        self, crystals: Crystals, neighbors: NeighborList
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Features after each interaction, outputs of all heads, pooled features."""
        geometry = self.geometry(crystals, neighbors)
        # Not by @, which would turn the memory of the embedding round each time.
        h = torch.bmm(crystals.species_probs.expand(len(self.embedding), -1, -1), self.embedding)
        layers = []
        for interaction in self.interactions:
            h = interaction(h, geometry)
            layers.append(h)
        counts = crystals.counts
        shape = (h.shape[0], counts.shape[0], len(self.properties))
        site = self.site_head(h) * self.scale + crystals.species_probs @ self.element_shift
        total = site.new_zeros(shape).index_add_(1, crystals.system_idx, site) / counts[:, None]
        features = self.pooling(h, crystals.system_idx, counts)
        pooled = self.pool_head(features) * (self.scale * self.pooled)
        values: Tensor = total + pooled + geometry.repulsion[:, None] * self.repelled
        return layers, values, features

    def values(
        self, crystals: Crystals, neighbors: NeighborList, names: Collection[str]
    ) -> dict[str, Tensor]:
        """Means over members of the properties of these names, each [B], in their units."""
        readouts = not set(self.read_out).isdisjoint(names)
        raw, _ = self.raw_and_pooled(crystals, neighbors, readouts=readouts)
        columns = zip(self.properties, raw.unbind(2), strict=True)
        return {n: self._in_unit(n, column).mean(0) for n, column in columns if n in names}

    def values_and_spread(
        self, crystals: Crystals, neighbors: NeighborList
    ) -> tuple[Tensor, Tensor]:
        """Means over members and standard deviations, each [B, properties], in their units.

        Without a calibrated spread it is that of the members, hardly above 0 for a single one.
        """
        raw, pooled = self.raw_and_pooled(crystals, neighbors)
        values = self.in_units(raw)
        mean = values.mean(0)
        if self.spread is None:
            return mean, member_spread(values)
        features = self.features_of(raw, pooled, crystals)
        spread: Tensor = self.spread(features, member_spread(raw))
        columns = [
            column * slope_of_power(exponent, self.log10[name]) if name in self.log10 else column
            for name, column, exponent in zip(
                self.properties, spread.unbind(1), raw.mean(0).unbind(1), strict=True
            )
        ]
        return mean, torch.stack(columns, dim=1)

    def features_of(self, raw: Tensor, pooled: Tensor, crystals: Crystals) -> Tensor:
        """What the calibrated spread is a function of, [B, features]."""
        pooled = pooled.unflatten(2, (-1, self.settings.channels))
        return spread_features(raw, pooled, self.shares(crystals), self.scale)

    def shares(self, crystals: Crystals) -> Tensor:
        """Share of each element, [B, E]."""
        probs, counts = crystals.species_probs, crystals.counts
        shares = probs.new_zeros(len(counts), N_ELEMENTS)
        return shares.index_add_(0, crystals.system_idx, probs) / counts[:, None]
