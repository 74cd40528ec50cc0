"""Where weights apply: what their training crystals cover, and which crystals lie outside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from ase.data import covalent_radii
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, is_unbalanced
from smoacs.crystals import Crystals, NeighborList, chunk_systems, neighbor_list
from smoacs.predictors.descriptors import Density

QUANTILE = 0.002
"""Share of the training crystals that may lie beyond each end of a range."""

ATOMS_AT_ONCE = 2000
"""Crystals are compared in chunks of about so many atoms, which bounds memory."""

RARE = 20
"""Elements in fewer training crystals than this are hardly known."""

_RARE_SHARE = 0.05
"""Kinds of crystals with a smaller share of the training are hardly known."""

NOT_A_CRYSTAL = "not finite or flat"

_WORDS: Mapping[str, tuple[str, str]] = {
    "volume_per_atom": ("volume per atom", " Å³"),
    "density": ("density", " g/cm³"),
    "closest_ratio": ("closest pair over its covalent radii", ""),
    "neighbors_per_atom": ("neighbours per atom", ""),
}
"""What is compared: its name in words and its unit."""


@dataclass(frozen=True, kw_only=True)
class TrainingDomain:
    """What the relaxed crystals of a training cover; part of the header of the weights.

    Attributes:
        element_counts: In how many of them each element occurs.
        unbalanced: Share of them that no reported charges balance (`chemistry.is_unbalanced`); None
            if nobody counted.
        ranges: From the `QUANTILE` to one minus it, of each quantity that `geometry_of` gives.
    """

    element_counts: Mapping[str, int]
    ranges: Mapping[str, tuple[float, float]]
    unbalanced: float | None = None


class Applicability(NamedTuple):
    """Which of B crystals the training data speak for.

    Attributes:
        in_domain: [B].
        reasons: Why not, in words; empty for a crystal that is inside.
    """

    in_domain: NDArray[np.bool_]
    reasons: tuple[str, ...]


def geometry_of(
    crystals: Crystals, neighbors: NeighborList, cutoff: float
) -> dict[str, NDArray[np.float64]]:
    """How dense and how crowded real crystals are, each [B].

    Args:
        crystals: One-hot crystals.
        neighbors: Complete up to the cutoff; pairs beyond are ignored.
        cutoff: Å.

    Returns:
        `volume_per_atom` (Å³), `density` (g/cm³), `closest_ratio`: the least distance of two atoms
        over the sum of their covalent radii (infinite if no pair is within the cutoff), and
        `neighbors_per_atom` within the cutoff.
    """
    with torch.no_grad():
        i, j = neighbors.edge_index
        distance = neighbors.vectors(crystals).norm(dim=1)
        near = distance <= cutoff
        i, j, distance = i[near], j[near], distance[near]
        table = torch.as_tensor(covalent_radii[1 : N_ELEMENTS + 1]).to(distance)
        radius = table[crystals.species_probs.argmax(1)]
        closest = distance.new_full((crystals.n_systems,), torch.inf)
        system = crystals.system_idx[i]
        closest.scatter_reduce_(0, system, distance / (radius[i] + radius[j]), "amin")
        pairs = torch.bincount(system, minlength=crystals.n_systems)
        values = Density()(crystals, neighbors) | {
            "closest_ratio": closest,
            "neighbors_per_atom": 2.0 * pairs / crystals.counts,
        }
    return {name: values[name].double().cpu().numpy() for name in _WORDS}


def training_domain(
    element_counts: Mapping[str, int], geometry: Mapping[str, NDArray[np.float64]]
) -> TrainingDomain:
    """Sum up training crystals.

    Args:
        element_counts: In how many of them each element occurs.
        geometry: What `geometry_of` gives for all or many of them.
    """
    ranges = {}
    for name, values in geometry.items():
        finite = values[np.isfinite(values)]
        if len(finite):
            low, high = np.quantile(finite, [QUANTILE, 1 - QUANTILE])
            ranges[name] = (float(f"{low:.4g}"), float(f"{high:.4g}"))
    return TrainingDomain(element_counts=dict(sorted(element_counts.items())), ranges=ranges)


def applicability(
    crystals: Crystals, domain: TrainingDomain, elements: frozenset[str], cutoff: float
) -> Applicability:
    """Compare real crystals with what a training covers.

    Args:
        crystals: One-hot crystals.
        domain: What the training covers.
        elements: The elements that the predictor knows.
        cutoff: The predictor's, Å.
    """
    reasons: list[str] = []
    for systems in chunk_systems(crystals.counts, ATOMS_AT_ONCE):
        part = crystals.select(systems)
        geometry = geometry_of(part, neighbor_list(part, cutoff), cutoff)
        sound = part.finite.cpu().numpy()
        for b, symbols in enumerate(_symbols(part)):
            if not sound[b] or not np.isfinite(geometry["volume_per_atom"][b]):
                reasons.append(NOT_A_CRYSTAL)
                continue
            own = {name: float(values[b]) for name, values in geometry.items()}
            found = [
                *_element_reasons(symbols, domain, elements),
                *_charge_reasons(part, b, domain),
                *_range_reasons(own, domain),
            ]
            reasons.append("; ".join(found))
    return Applicability(np.array([not reason for reason in reasons], dtype=bool), tuple(reasons))


def _symbols(crystals: Crystals) -> Iterator[list[str]]:
    """Symbols of the elements of each crystal, sorted."""
    z: Tensor = crystals.species_probs.argmax(1)
    for atoms in torch.split(z.cpu(), crystals.counts.tolist()):
        yield sorted({ELEMENTS[int(e)] for e in atoms})


def _element_reasons(
    symbols: Sequence[str], domain: TrainingDomain, elements: frozenset[str]
) -> Iterator[str]:
    for symbol in symbols:
        count = domain.element_counts.get(symbol, 0)
        if symbol not in elements:
            yield f"{symbol} is in no training crystal"
        elif count < RARE:
            yield f"{symbol} is in only {count} training crystals"


def _charge_reasons(crystals: Crystals, b: int, domain: TrainingDomain) -> Iterator[str]:
    if domain.unbalanced is None or domain.unbalanced >= _RARE_SHARE:
        return
    own = (crystals.system_idx == b).cpu()
    symbols = [ELEMENTS[int(z)] for z in crystals.species_probs.cpu()[own].argmax(1)]
    coords = crystals.frac_coords.detach().cpu()[own].double().numpy()
    if is_unbalanced(symbols, coords, crystals.cell[b].detach().cpu().double().numpy()):
        share = f"{100 * domain.unbalanced:.2g} %"
        yield f"no reported oxidation numbers balance it, as is so for {share} of the training"


def _range_reasons(geometry: Mapping[str, float], domain: TrainingDomain) -> Iterator[str]:
    for name, (low, high) in domain.ranges.items():
        value = geometry.get(name, low)
        label, unit = _WORDS.get(name, (name, ""))
        if value < low:
            yield f"{label} {value:.3g}{unit} is below {low:.3g}, the least in training"
        elif value > high:
            yield f"{label} {value:.3g}{unit} is above {high:.3g}, the most in training"
