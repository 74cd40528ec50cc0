"""Scripts that label distorted crystals: distortions, relaxation, the kernel, the shards."""

import itertools
import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import ase
import numpy as np
import pandas as pd
import pytest
import torch
from ase.build import bulk
from ase.calculators.lj import LennardJones

SCRIPTS = Path(__file__).parents[2] / "scripts/teacher"


@pytest.fixture(scope="module")
def script():
    before = set(sys.modules)
    sys.path.insert(0, str(SCRIPTS))
    yield import_module
    sys.path.remove(str(SCRIPTS))
    for name in set(sys.modules) - before:
        if (SCRIPTS / f"{name}.py").exists():
            del sys.modules[name]


class Argon:
    """Lennard-Jones crystals, as `potential.Potential` labels them."""

    def __init__(self, labels):
        self.labels = labels

    def __call__(self, crystals):
        return [self.label(atoms.copy()) for atoms in crystals]

    def label(self, atoms):
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.5, rc=8.0, smooth=True)
        forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
        return self.labels(atoms.get_potential_energy(), forces, stress)


@pytest.fixture(scope="module")
def argon(script):
    return Argon(script("potential").Labels)


class Never:
    def random(self):
        return 1.0


# Howard and Stokes, Acta Cryst. B 54, 782 (1998)
@pytest.mark.parametrize(
    ("signs", "number", "n_atoms"),
    [
        ("000", 221, 5),
        ("00-", 140, 10),
        ("00+", 127, 10),
        ("---", 167, 10),
        ("-0-", 74, 10),
        ("-+-", 62, 20),
        ("+++", 204, 20),
        ("0+-", 63, 20),
        ("++-", 137, 40),
    ],
)
def test_tilts_have_the_space_groups_of_glazer(script, signs, number, n_atoms):
    distortions = script("distortions")
    parent = ase.Atoms("SrZrO3", cell=[4.15] * 3, scaled_positions=distortions.SITES, pbc=True)
    atoms = distortions.tilted(parent, signs, np.full(3, 9.0), Never())
    assert distortions.space_group(atoms, 1e-3) == number
    assert len(atoms) == n_atoms
    assert atoms.get_volume() / len(atoms) == pytest.approx(4.15**3 / 5)


def test_a_rattle_has_the_length_asked_for(script):
    atoms = bulk("Ar", "fcc", 5.3, cubic=True).repeat(5)
    moved = script("distortions").rattled(atoms, 0.1, np.random.default_rng(0))
    lengths = np.linalg.norm(moved.positions - atoms.positions, axis=1)
    assert lengths.mean() == pytest.approx(0.1, rel=0.05)


def test_the_gradient_of_a_relaxation_is_that_of_the_energy(script, argon):
    relaxer = script("relaxer")
    rng = np.random.default_rng(1)
    start = bulk("Ar", "fcc", 5.3, cubic=True)
    start.positions += 0.1 * rng.normal(size=(4, 3))
    run = relaxer.Relaxation(start)
    run.advance(argon([run.next])[0])
    run.advance(argon([run.next])[0])  # now the cell is deformed
    x, gradient = run._x.copy(), run._gradient
    assert np.linalg.norm(gradient) > 0.1
    direction = rng.normal(size=x.shape)
    values = []
    for size in (-1e-4, 1e-4):
        run._x, run._step = x, size * direction
        run._go()
        values.append(argon([run.next])[0].energy)
    slope = (values[1] - values[0]) / 2e-4
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-4)


def test_crystals_relax_side_by_side_to_the_same_rest(script, argon):
    relaxer, distortions = script("relaxer"), script("distortions")
    rng = np.random.default_rng(2)
    cell = bulk("Ar", "fcc", 5.0, cubic=True)
    starts = [distortions.strained(distortions.rattled(cell, 0.2, rng), 0.02, rng) for _ in "123"]
    runs = relaxer.relax(argon, starts)
    assert all(run.converged and not run.failure for run in runs)
    energies = [run.end.energy for run in runs]
    assert np.ptp(energies) < 1e-4
    assert max(energies) < min(run.frames[0].energy for run in runs)
    falling = [frame.energy for frame in runs[0].frames]
    assert all(b <= a + relaxer.RISE for a, b in itertools.pairwise(falling))
    places = relaxer.thinned(runs[0].frames)
    assert places[0] == 0
    assert places[-1] == len(falling) - 1
    assert places == sorted(set(places))


def test_a_cell_that_collapses_is_given_up(script):
    relaxer, labels = script("relaxer"), script("potential").Labels
    atoms = bulk("Ar", "fcc", 2.0, cubic=True)
    nothing = labels(0.0, np.zeros((4, 3)), np.zeros((3, 3)))
    (run,) = relaxer.relax(lambda crystals: [nothing for _ in crystals], [atoms])
    assert run.failure
    assert not run.frames


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_the_kernel_sums_what_the_formula_says(script):
    potential, weights = script("potential"), script("weights")
    rng = np.random.default_rng(3)
    degrees = [(0, 1, 1), (1, 2, 3), (2, 2, 2), (3, 1, 2), (1, 1, 0)]
    channels = {0: 32, 1: 16, 2: 16, 3: 16}
    paths = [
        weights.Path(
            d, channels[d[0]], rng.normal(size=[2 * d[k] + 1 for k in (2, 0, 1)]).astype("f4")
        )
        for d in sorted(degrees, key=lambda d: d[2])
    ]
    layer = weights.Layer(channels, paths, {}, [], {}, {}, {})
    width = sum(path.channels for path in paths)
    table = torch.tensor(rng.normal(size=(6, 2, width)), dtype=torch.float32)
    kernel = potential._Messages(layer, table, potential._library())
    pairs = torch.tensor([[0, 1, 2, 1], [1, 2, 2, 0]], dtype=torch.int32)
    size = sum((2 * degree + 1) * n for degree, n in channels.items())
    h = torch.tensor(rng.normal(size=(3, size)), dtype=torch.float32, requires_grad=True)
    y = torch.tensor(rng.normal(size=(4, 16)), dtype=torch.float32, requires_grad=True)
    x = torch.tensor([0.3, 1.5, 2.25, 4.9], requires_grad=True)
    found = potential._Sum.apply(h, y @ kernel.coupling, x, pairs, kernel)
    wanted = _plain_messages(paths, channels, table, pairs, h, y, x)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
    weight = torch.tensor(rng.normal(size=found.shape), dtype=torch.float32)
    got = torch.autograd.grad((found * weight).sum(), (h, y, x))
    for one, two in zip(got, torch.autograd.grad((wanted * weight).sum(), (h, y, x)), strict=True):
        assert torch.allclose(one, two, rtol=1e-3, atol=1e-3)
        assert one.abs().max() > 0.1


def _plain_messages(paths, channels, table, pairs, h, y, x):
    """The same by the formula, one message after the other."""
    at, start = {}, 0
    for degree, n in channels.items():
        at[degree] = (start, n)
        start += (2 * degree + 1) * n
    totals = {}
    for path in paths:
        totals[path.degrees[2]] = totals.get(path.degrees[2], 0) + path.channels
    out = {degree: torch.zeros(3, 2 * degree + 1, n) for degree, n in totals.items()}
    for e in range(pairs.shape[1]):
        k = int(x[e])
        t = x[e] - k
        u = 1 - t
        value = (1 + 2 * t) * u**2 * table[k, 0] + t * u**2 * table[k, 1]
        value = value + t**2 * (3 - 2 * t) * table[k + 1, 0] - t**2 * u * table[k + 1, 1]
        for receiver, sender, way in (
            (pairs[0, e], pairs[1, e], 1),
            (pairs[1, e], pairs[0, e], -1),
        ):
            r, used = 0, dict.fromkeys(totals, 0)
            for path in paths:
                l1, l2, l3 = path.degrees
                first, n = at[l1]
                sent = h[sender, first : first + (2 * l1 + 1) * n].reshape(-1, n)
                harmonics = y[e, l2 * l2 : (l2 + 1) ** 2] * way**l2
                turned = torch.einsum("abc,c->ab", torch.from_numpy(path.coupling), harmonics)
                message = (turned @ sent) * value[r : r + n]
                place = slice(used[l3], used[l3] + n)
                added = torch.zeros_like(out[l3])
                added[receiver, :, place] = message
                out[l3] = out[l3] + added
                r, used[l3] = r + n, used[l3] + n
    return torch.cat([part.flatten(1) for part in out.values()], dim=1)


def test_a_turned_crystal_gives_the_same_row(script, argon):
    rows, frame = script("label_rows"), script("relaxer").Frame
    atoms = bulk("Ar", "fcc", 5.1, cubic=True)
    atoms.positions += 0.1 * np.random.default_rng(4).normal(size=(4, 3))
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1.02, 0], [0, 0.05, 1]], scale_atoms=True)
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    one, two = (rows.frame_row(frame(a, argon([a])[0])) for a in (atoms, turned))
    for key in ("lattice", "frac_coords", "energy", "forces", "stress"):
        assert np.allclose(one[key], two[key], rtol=1e-3, atol=1e-5), key
    assert np.abs(one["forces"]).max() > 0.1


def test_shards_join_and_are_not_written_twice(script, argon, tmp_path):
    export, rows = script("export_labels"), script("label_rows")
    families, recipe = script("families").Family, script("compositions").Recipe
    atoms = bulk("Ar", "fcc", 5.2, cubic=True)
    frame = script("relaxer").Frame(atoms, argon([atoms])[0])
    made, out = tmp_path / "made", tmp_path / "out"
    made.mkdir()
    out.mkdir()
    lines = []
    for number in range(3):
        family = families(recipe(f"a{number}", "Ar", "train", "database", atoms))
        family.add("stored", [frame])
        lines.append(json.dumps(rows.family_line(family, 0.1)))
    path = made / "database.jsonl"
    path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])  # killed in the third
    export.export(made, out, 100)
    export.export(made, out, 100)
    assert rows.done_names("database", path, None) == {"a0", "a1"}
    path.write_text(lines[2] + "\n")
    export.export(made, out, 100)
    assert rows.done_names("database", path, out) == {"a0", "a1", "a2"}
    assert len(list(out.glob("database-frames-*.parquet"))) == 2
    table = pd.read_parquet(out / "database-frames-000.parquet")
    assert table["energy_per_atom"].iloc[0] == pytest.approx(frame.energy, rel=1e-6)
    counts = export.summary(out)["database"]
    assert counts["frames"] == 3
    assert counts["families"] == {"done": 3}
