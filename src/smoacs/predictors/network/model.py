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
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from smoacs.chemistry import N_ELEMENTS
from smoacs.predictors.network.edges import Geometry
from smoacs.predictors.network.interaction import Interaction
from smoacs.predictors.network.layers import MemberLinear, MemberMLP
from smoacs.predictors.network.readout import Composition, layer_summary
from smoacs.predictors.network.spread import (
    SpreadHead,
    member_spread,
    slope_of_power,
    spread_features,
)
from smoacs.predictors.widening import Widening

if TYPE_CHECKING:
    from smoacs.crystals import Crystals, NeighborList
    from smoacs.predictors.network.settings import NetworkSettings


def power_of_ten(exponent: Tensor, limit: float) -> Tensor:
    """10 to the exponents; beyond `limit` the tangent there goes on, so nothing overflows."""
    inside = exponent.clamp(max=limit)
    return 10.0**inside * (1.0 + math.log(10.0) * (exponent - inside))


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
        self.widening: Widening | None = None
        """Of that spread, for kinds of chemistry."""
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
        means = raw.mean(0).unbind(1)
        return {
            name: self._in_unit(name, raw[:, :, k]).mean(0) if name in self.log10 else means[k]
            for k, name in enumerate(self.properties)
            if name in names
        }

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
        wide = torch.stack(columns, dim=1)
        if self.widening is not None:
            wide = self.widening.apply(wide, self.shares(crystals), self.properties)
        return mean, wide

    def features_of(self, raw: Tensor, pooled: Tensor, crystals: Crystals) -> Tensor:
        """What the calibrated spread is a function of, [B, features]."""
        pooled = pooled.unflatten(2, (-1, self.settings.channels))
        return spread_features(raw, pooled, self.shares(crystals), self.scale)

    def shares(self, crystals: Crystals) -> Tensor:
        """Share of each element, [B, E]."""
        probs, counts = crystals.species_probs, crystals.counts
        shares = probs.new_zeros(len(counts), N_ELEMENTS)
        return shares.index_add_(0, crystals.system_idx, probs) / counts[:, None]
