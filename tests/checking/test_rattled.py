"""Crystals that are shaken and let go: starts, ends and what they keep."""

from types import MappingProxyType

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pymatgen.core import Lattice, Structure

from smoacs.checking import (
    RattleSettings,
    RelaxedDesign,
    RelaxSettings,
    rattled,
    rattled_table,
    relax_designs,
)
from smoacs.checking.potentials import AsePotential
from smoacs.checking.rattled import supercell
from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError
from smoacs.targets import Target
from smoacs.templates import perovskite as perovskite_template
from toys import perovskite_crystal as perovskite


class LengthPredictor:
    """A band gap that is the mean lattice length, in eV, and a formation energy of -1 eV/atom."""

    cutoff = 0.0
    elements = frozenset(ELEMENTS)
    properties = MappingProxyType({"band_gap": "eV", "formation_energy": "eV/atom"})

    def __call__(self, crystals, neighbors):
        del neighbors
        gap = crystals.cell.norm(dim=2).mean(1)
        return {"band_gap": gap, "formation_energy": -torch.ones_like(gap)}


def tilted(structure, angle):
    """Two cells along each axis, the octahedra turned about c, in phase along it."""
    cells = supercell(structure, RattleSettings())
    moved = cells.copy()
    for number, site in enumerate(cells):
        if site.specie.symbol != "F":
            continue
        x, y, z = site.frac_coords * 2
        if abs(z % 1 - 0.5) > 0.1:  # in the plane of B
            continue
        across = 0 if abs(x % 1 - 0.5) < 0.1 else 1
        sign = (-1) ** (int(np.floor(x + 0.01)) + int(np.floor(y + 0.01)))
        shift = np.zeros(3)
        shift[across] = sign * (1 if across else -1) * 0.25 * np.tan(np.deg2rad(angle))
        moved.translate_sites([number], shift, to_unit_cell=False)
    return moved


def judge(ends, *targets, energies=None, template=None, settings=None):
    return rattled_table(
        [perovskite()] * len(ends),
        energies or [-1.0] * len(ends),
        ends,
        targets=[Target.parse(text) for text in targets],
        predictor=LengthPredictor(),
        settings=settings,
        templates=None if template is None else [template] * len(ends),
    )


def ended(structure, energy=-1.0):
    return RelaxedDesign(structure.copy().remove_oxidation_states(), energy, 9, converged=True)


def test_a_start_depends_on_the_crystal_alone():
    one, other = perovskite(), perovskite(("Na+", "Mg2+", "F-", "F-", "F-"))
    first = rattled(one)
    assert rattled(other) != first
    assert rattled(one) == first
    assert rattled(perovskite(length=4.0 + 1e-9)).matches(first)
    assert len(first) == 40


def test_displacements_and_strains_are_as_wide_as_stated():
    cell = Structure(Lattice.cubic(3.9), ["Cu"], [[0, 0, 0]])
    settings = RattleSettings(length=30.0, max_atoms=10_000, strain=0.0)
    still, shaken = supercell(cell, settings), rattled(cell, settings)
    moved = shaken.cart_coords - still.cart_coords
    assert moved.shape == (512, 3)
    assert moved.std() == pytest.approx(0.05, rel=0.05)
    strains = []
    for length in np.linspace(3.8, 4.2, 200):
        one = Structure(Lattice.cubic(length), ["Cu"], [[0, 0, 0]])
        ratio = np.linalg.solve(
            supercell(one, RattleSettings()).lattice.matrix, rattled(one).lattice.matrix
        )
        strains.append(ratio - np.eye(3))
    strains = np.array(strains)
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=1e-12)
    assert strains[:, range(3), range(3)].std() == pytest.approx(0.01, rel=0.1)
    assert strains[:, [0, 0, 1], [1, 2, 2]].std() == pytest.approx(0.01 / np.sqrt(2), rel=0.15)


def test_what_an_end_keeps():
    still = ended(supercell(perovskite(), RattleSettings()), energy=-1.03)
    wide = supercell(perovskite(), RattleSettings())
    wide.scale_lattice(wide.volume * 1.04**3)
    long = supercell(perovskite(), RattleSettings())
    long.lattice = Lattice.orthorhombic(8.5, 8, 8)
    none = RelaxedDesign(None, float("nan"), 0, converged=False, failure="too dense")
    table = judge([still, ended(wide), ended(long), none])
    np.testing.assert_allclose(table["rattled_energy_gain"][:3], [0.03, 0, 0], atol=1e-12)
    assert table["keeps_lattice"].tolist() == [True, False, False, None]
    np.testing.assert_allclose(table["rattled_volume_change"][:3], [0, 1.04**3 - 1, 0.0625])
    np.testing.assert_allclose(table["rattled_length_change"][:3], [0, 0.04, 0.0625], atol=1e-12)
    assert table["keeps_structure"].tolist() == [True, True, True, None]
    assert table["rattled_failure"].tolist() == ["", "", "", "too dense"]
    assert table["keeps_targets"].tolist() == [True, True, True, None]


@pytest.mark.parametrize(
    ("target", "holds"),
    [
        ("band_gap = 8.3 ± 0.1", True),
        ("band_gap = 8.5 ± 0.1", False),
        ("band_gap = 8.5 ± 0.6", True),
        ("band_gap > 8.3", True),
        ("band_gap > 8.5", False),
        ("formation_energy = -1.15 ± 0.1", True),
        ("formation_energy = -1.25 ± 0.1", False),
        ("maximize band_gap", True),
    ],
)
def test_targets_hold_within_their_tolerance(target, holds):
    end = ended(supercell(perovskite(), RattleSettings()))
    assert judge([end], target)["keeps_targets"].tolist() == [holds]


def test_more_tolerance_by_setting():
    end = ended(supercell(perovskite(), RattleSettings()))
    settings = RattleSettings(gap_tolerance=0.6)
    assert judge([end], "band_gap = 8.5 ± 0.1", settings=settings)["keeps_targets"][0]


def test_roles_of_the_sites_carry_over():
    from smoacs.predictors import load_predictor  # noqa: PLC0415 - slow

    (value,) = rattled_table(
        [perovskite()],
        [-1.0],
        [ended(supercell(perovskite(), RattleSettings()))],
        targets=[Target.parse("0.8 <= tolerance_factor <= 1.1")],
        predictor=load_predictor(device="cpu"),
        templates=[perovskite_template()],
    )["rattled_tolerance_factor"]
    assert value == pytest.approx(1.035, abs=0.02)  # K 1.64, Mg 0.72, F 1.285 Å


def test_a_tilted_perovskite_is_one_and_a_broken_one_is_not():
    still = supercell(perovskite(), RattleSettings())
    turned = tilted(perovskite(), 10.0)
    assert np.abs(turned.frac_coords - still.frac_coords).max() > 0.04
    broken = still.copy()
    fluorine = next(n for n, site in enumerate(still) if site.specie.symbol == "F")
    along = np.abs(still[fluorine].frac_coords * 2 % 1 - 0.5) > 0.25  # the line of its bonds
    broken.translate_sites([fluorine], 0.15 * along, to_unit_cell=False)
    table = judge([ended(turned), ended(broken)])
    assert table["keeps_structure"].tolist() == [True, False]


def test_a_free_relaxation_ends_where_that_of_ase_does(tmp_path):
    faces = [[0] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = Structure(Lattice.cubic(3.9), ["Cu", "Au", "Au", "Au"], faces)
    settings = RattleSettings(relaxation=RelaxSettings(fmax=5e-3, keep_symmetry=False))
    start = rattled(cell, settings)
    potential = AsePotential("emt", EMT)
    (end,) = relax_designs([start], potential, settings.relaxation, cache=tmp_path / "a.jsonl")
    atoms = Atoms(
        [str(x) for x in start.species],
        cell=start.lattice.matrix,
        scaled_positions=start.frac_coords,
        pbc=True,
        calculator=EMT(),
    )
    assert FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=5e-3, steps=500)
    assert end.converged
    assert end.energy == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-4)
    assert end.structure.volume == pytest.approx(atoms.get_volume(), rel=1e-3)
    (rest,) = relax_designs([cell], potential, RelaxSettings(), cache=tmp_path / "b.jsonl")
    np.testing.assert_allclose(np.ptp(rest.structure.lattice.abc), 0, atol=1e-6)
    assert rest.energy == pytest.approx(end.energy, abs=2e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"length": -1.0}, "length of rattled crystals is -1.0 Å"),
        ({"gap_tolerance": 0.0}, "gap_tolerance of rattled crystals is 0.0 eV"),
        ({"strain": 1.0}, "strain of rattled crystals is 1.0"),
        ({"max_atoms": 0}, "max_atoms is 0"),
    ],
)
def test_settings_that_make_no_sense(wrong, message):
    with pytest.raises(InputError, match=message):
        RattleSettings(**wrong)
