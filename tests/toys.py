"""Small crystals and predictors with known answers, for tests."""

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.evaluation import GPA

SYMBOLS = ("H", "O", "F", "Na", "Mg", "Si", "K", "Ti", "Sr", "I", "Cs", "Pb")


def random_structure(rng, n_atoms, *, low=3.0, high=7.0):
    """A triclinic crystal without symmetry."""
    lengths = rng.uniform(low, high, 3)
    angles = rng.uniform(60, 115, 3)
    lattice = Lattice.from_parameters(*lengths, *angles)
    return Structure(lattice, rng.choice(SYMBOLS, n_atoms).tolist(), rng.random((n_atoms, 3)))


def random_structures(seed, sizes, **lengths):
    """One crystal for each size."""
    rng = np.random.default_rng(seed)
    return [random_structure(rng, n, **lengths) for n in sizes]


class PairEnergy:
    """Smooth pair repulsion between atoms, plus a preference of each element."""

    cutoff = 4.0
    elements = frozenset(ELEMENTS[:80])

    def __init__(self):
        self.properties = {"formation_energy": "eV/atom"}

    def __call__(self, crystals, neighbors):
        charge = torch.linspace(0.5, 1.5, N_ELEMENTS).to(crystals.cell)
        charges = crystals.species_probs @ charge
        i, j = neighbors.edge_index
        d2 = (neighbors.vectors(crystals) ** 2).sum(1)
        x = torch.relu(1 - d2 / self.cutoff**2)
        site = -torch.sin(2 * charges)
        energy = torch.zeros_like(crystals.volume)
        energy = energy.index_add(0, crystals.system_idx[i], charges[i] * charges[j] * x**3)
        energy = energy.index_add(0, crystals.system_idx, site)
        return {"formation_energy": energy / crystals.counts}


class Bowl:
    """A landscape whose lowest point is known: a cube of 4.2 Å, elements near calcium."""

    length = 4.2
    cutoff = 0.0
    elements = frozenset(ELEMENTS)

    def __init__(self):
        self.properties = {"toy": "1"}
        self.calls = 0
        self.cost = (torch.arange(1, N_ELEMENTS + 1) - 20.0).abs() / 40

    def __call__(self, crystals, neighbors):
        del neighbors
        self.calls += crystals.n_systems
        site = crystals.species_probs @ self.cost.to(crystals.cell)
        chemistry = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
        lengths = crystals.cell.norm(dim=2)
        strain = (lengths / self.length - 1).square().sum(1)
        return {"toy": chemistry / crystals.counts + strain}

    def lowest(self, template):
        """The least value that any neutral choice of elements allows."""
        cost = np.where(template.allowed, self.cost.numpy(), np.inf)
        return cost.min(axis=2).mean(axis=1).min()


PEROVSKITE_SITES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


def perovskite_crystal(species=("K+", "Mg2+", "F-", "F-", "F-"), length=4.0):
    """A cubic perovskite: A, B, and X three times."""
    return Structure(Lattice.cubic(length), species, PEROVSKITE_SITES)


class Conflict:
    """Two costs of the elements that cannot both be low: one grows where the other falls."""

    cutoff = 0.0
    elements = frozenset(("K", "Rb", "Cs", "Mg", "Ca", "Sr", "Zn", "F", "Cl", "Br", "I"))

    def __init__(self):
        self.properties = {"price": "1", "weight": "1"}
        angle = torch.arange(N_ELEMENTS) * 2.4 % (torch.pi / 2)
        radius = 1 + 0.3 * torch.sin(torch.arange(N_ELEMENTS) * 1.7)
        self.costs = radius * (1 - torch.sin(angle)), radius * (1 - torch.cos(angle))

    def __call__(self, crystals, neighbors):
        del neighbors
        out = []
        for cost in self.costs:
            site = crystals.species_probs @ cost.to(crystals.cell)
            total = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
            out.append(total / crystals.counts)
        return dict(zip(self.properties, out, strict=True))


class Stack:
    """Atoms that repel each other, pressed together; a property that is linear in the species."""

    cutoff = PairEnergy.cutoff
    elements = PairEnergy.elements

    def __init__(self):
        self.calls = 0
        self.properties = {"formation_energy": "eV/atom", "toy": "1"}
        self._parts = (PairEnergy(), Bowl())

    def __call__(self, crystals, neighbors):
        self.calls += crystals.n_systems
        energy, bowl = self._parts
        site = crystals.species_probs @ bowl.cost.to(crystals.cell)
        toy = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
        pressed = energy(crystals, neighbors)["formation_energy"] + 0.03 * crystals.volume / (
            crystals.counts
        )
        return {"formation_energy": pressed, "toy": toy / crystals.counts}


class Spring:
    """Energy quadratic in ln V around a volume that grows with the mean atomic number."""

    bulk_modulus = 60.0
    """GPa, at the rest volume."""

    cutoff = 0.0
    elements = frozenset({"Sr", "Ti", "O", "Ba", "K", "Mg", "F", "Cl", "S", "Zr", "Na"})

    def __init__(self):
        self.properties = {"formation_energy": "eV/atom", "band_gap": "eV"}

    def rest_volume(self, crystals):
        numbers = torch.arange(1, 99).to(crystals.species_probs)
        z = torch.zeros(crystals.n_systems).to(crystals.cell)
        z = z.index_add(0, crystals.system_idx, crystals.species_probs @ numbers)
        return 40.0 + 0.4 * z

    def __call__(self, crystals, neighbors):
        del neighbors
        rest = self.rest_volume(crystals)
        strain = torch.log(crystals.volume / rest)
        energy = 0.5 * self.bulk_modulus / GPA * rest * strain**2 / crystals.counts - 1.0
        return {"formation_energy": energy, "band_gap": 0.05 * rest}
