import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.cli import run
from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.evaluation import Evaluator
from smoacs.judging import space_group
from smoacs.predictors import ENERGY
from smoacs.relaxation import Response, relax_structures
from smoacs.relaxation.structures import EnergyPotential, symmetry_of
from smoacs.templates import operations_of, space_group_data

CORNERS = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


class Morse:
    """A bond of 2.5 Å between all atoms, by J. P. M. Morse's curve, cut off smoothly."""

    cutoff = 6.0
    elements = frozenset(ELEMENTS[:80])

    def __init__(self):
        self.properties = {"formation_energy": "eV/atom"}

    def __call__(self, crystals, neighbors):
        distance = neighbors.vectors(crystals).norm(dim=1)
        well = torch.exp(-3.0 * (distance - 2.5))
        taper = torch.relu(1 - (distance / self.cutoff) ** 2) ** 2
        i = neighbors.edge_index[0]
        energy = torch.zeros_like(crystals.volume)
        energy = energy.index_add(0, crystals.system_idx[i], (well**2 - 2 * well) * taper)
        return {"formation_energy": 0.3 * energy / crystals.counts}


def copper(length, species=("Cu",) * 4):
    return Structure(Lattice.cubic(length), list(species), CORNERS)


def test_all_starts_find_one_rest():
    rattled = copper(3.6)
    rattled.perturb(0.15)
    relaxed = relax_structures([copper(3.2), copper(4.0), rattled], Morse(), fmax=0.005)
    assert all(item.converged for item in relaxed)
    lengths = [item.structure.volume ** (1 / 3) for item in relaxed]
    np.testing.assert_allclose(lengths, lengths[0], rtol=2e-3)
    assert all(item.energy < item.energy_before for item in relaxed)
    assert all(item.max_force < 0.005 for item in relaxed)
    # The lowest point of a scan, too.
    scan = [copper(a) for a in np.linspace(3.2, 4.0, 161)]
    crystals = Crystals.from_structures(scan)
    with Evaluator(Morse(), (ENERGY,)) as evaluator:
        best = scan[int(EnergyPotential(evaluator)(crystals).energy.argmin())]
    assert lengths[0] == pytest.approx(best.lattice.a, abs=0.01)


def test_species_and_order_stay():
    start = copper(3.9, ("Cu+", "Au", "Cu+", "Au"))
    (relaxed,) = relax_structures([start], Morse(), max_steps=3)
    assert relaxed.structure.species == start.species
    assert relaxed.steps == 3
    assert not relaxed.converged


def test_potential_against_differences():
    structure = copper(3.7, ("Cu", "Au", "Cu", "Ag"))
    structure.perturb(0.1)
    crystals = Crystals.from_structures([structure, copper(3.5)])
    with Evaluator(Morse(), (ENERGY,)) as evaluator:
        potential = EnergyPotential(evaluator)
        response = potential(crystals)
        step = 1e-4
        for atom, axis in ((0, 0), (3, 2)):
            energies = []
            for sign in (1, -1):
                moved = structure.copy()
                moved.translate_sites([atom], sign * step * np.eye(3)[axis], frac_coords=False)
                moved = Crystals.from_structures([moved])
                energies.append(float(potential(moved).energy[0]))
            force = -(energies[0] - energies[1]) / (2 * step)
            assert float(response.forces[atom, axis]) == pytest.approx(force, rel=1e-4)
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[0, 1] += sign * step / 2
            strain[1, 0] += sign * step / 2
            sheared = Structure(
                Lattice(structure.lattice.matrix @ strain), structure.species, structure.frac_coords
            )
            energies.append(float(potential(Crystals.from_structures([sheared])).energy[0]))
        stress = (energies[0] - energies[1]) / (2 * step) / structure.volume
        assert float(response.stress[0, 0, 1]) == pytest.approx(stress, rel=1e-4)


def test_symmetry_is_kept():
    tetragonal = Structure(Lattice.tetragonal(3.7, 4.1), ["Cu"] * 4, CORNERS)
    distorted = copper(3.7)
    distorted.translate_sites([0], [0.02, 0, 0])
    relaxed = relax_structures(
        [tetragonal, copper(3.9), distorted], Morse(), max_steps=15, keep_symmetry=True
    )
    groups = [space_group(item.structure) for item in relaxed]
    assert groups[0] in {"I4/mmm", "Fm-3m"}
    assert groups[1] == "Fm-3m"
    assert relaxed[0].structure.lattice.a == pytest.approx(relaxed[0].structure.lattice.b)


class Noise:
    """Forces and stresses without any symmetry."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, crystals):
        n, b = crystals.n_atoms, crystals.n_systems
        draw = {"generator": self.generator, "dtype": torch.float64}
        return Response(
            torch.zeros(b, dtype=torch.float64),
            torch.randn(n, 3, **draw),
            torch.randn(b, 3, 3, **draw),
        )


def cartesian_operations(structure):
    """Rotations of Cartesian row vectors, and the site to which each brings each site."""
    matrix = structure.lattice.matrix
    numbers = [site.specie.Z for site in structure]
    found = operations_of(
        space_group_data(matrix, structure.frac_coords, numbers), matrix, structure.frac_coords
    )
    turns = [matrix.T @ r @ np.linalg.inv(matrix.T) for r in found.rotations]
    return list(zip(turns, found.permutations, strict=True))


def test_averages_have_the_symmetry():
    hexagonal = Structure(
        Lattice.hexagonal(2.7, 4.4), ["Mg"] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    )
    perovskite = Structure(
        Lattice.cubic(3.9),
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0.02], [0.5, 0.02, 0.5], [0.02, 0.5, 0.5]],
    )
    structures = [hexagonal, perovskite, copper(3.6)]
    symmetry, noise = symmetry_of(structures), Noise()
    crystals = Crystals.from_structures(structures)
    for chosen in ([0, 1, 2], [1, 2], [1]):
        part = crystals.select(torch.tensor(chosen))
        response = noise(part).symmetric(part, symmetry, chosen)
        first = 0
        for place, k in enumerate(chosen):
            forces = response.forces[first : first + len(structures[k])].numpy()
            first += len(structures[k])
            stress = response.stress[place].numpy()
            for turn, image in cartesian_operations(structures[k]):
                np.testing.assert_allclose(forces[image], forces @ turn.T, atol=1e-12)
                np.testing.assert_allclose(turn @ stress @ turn.T, stress, atol=1e-12)
    assert len(cartesian_operations(perovskite)) == 6  # R3m: one axis of three and its mirrors
    assert len(cartesian_operations(copper(3.6))) == 192


class Gap:
    """No energy."""

    properties = {"band_gap": "eV"}  # noqa: RUF012
    cutoff = 1.0
    elements = frozenset(ELEMENTS)

    def __call__(self, crystals, neighbors):
        del neighbors
        return {"band_gap": crystals.volume}


@pytest.mark.parametrize(
    ("structures", "changes", "words"),
    [
        ([copper(3.6)], {"predictor": Gap()}, "formation_energy"),
        ([copper(3.6)], {"fmax": 0.0}, "above 0"),
        ([copper(3.6)], {"fmax": float("inf")}, "at most 10"),
        ([copper(3.6)], {"fmax": float("nan")}, "at most 10"),
        ([copper(3.6)], {"max_steps": 10**26}, "from 0 to 1000000"),
        ([copper(3.6), copper(3.6, ("Cu", "Cu", "Cu", "Cf"))], {}, "structure 1 .* holds Cf"),
        ([Structure(Lattice.cubic(3), ["Cu"] * 2, [[0, 0, 0], [1, 0, 0.01]])], {}, "on one spot"),
        ([Structure(Lattice.cubic(3), ["Cu"], [[np.nan, 0, 0]])], {}, "not finite"),
    ],
)
def test_mistakes(structures, changes, words):
    settings = {"predictor": Morse(), **changes}
    with pytest.raises(InputError, match=words):
        relax_structures(structures, **settings)


def test_command(tmp_path, capsys):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.9), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    salt.to(str(tmp_path / "salt.cif"))
    out = tmp_path / "relaxed"
    command = ["relax", str(tmp_path / "salt.cif"), "--out", str(out), "--keep-symmetry"]
    assert run([*command, "--max-steps", "60"]) == 0
    assert "1 of 1 structures at rest" in capsys.readouterr().out
    rows = (out / "relaxed.csv").read_text().splitlines()
    assert rows[0].startswith("file,index,formula,converged,steps,formation_energy_before")
    assert ",NaCl,True," in rows[1]
    (cif,) = (out / "structures").glob("*.cif")
    assert Structure.from_file(cif).lattice.a == pytest.approx(5.64, abs=0.2)
    assert (out / "relaxed.extxyz").read_text().startswith("8\n")
    assert run(command) == 2
    assert "another folder" in capsys.readouterr().err
