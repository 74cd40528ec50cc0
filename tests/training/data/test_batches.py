import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.training.data import SKIN, Noise, build_dataset, element_symbols, make_batch

CUTOFF = 4.0
EVERYTHING = Noise(share=1.0, strain=0.02, shear=0.01, displacement=0.03)


@pytest.fixture
def data(path, properties):
    return build_dataset(pd.read_parquet(path), properties, CUTOFF)


def structure_of(row):
    lattice = Lattice.from_parameters(*row.lattice)
    symbols = [ELEMENTS[z - 1] for z in row.numbers]
    return Structure(lattice, symbols, np.reshape(row.frac_coords, (-1, 3)))


def test_labels_and_sizes(data, rows, properties):
    assert len(data) == 30
    assert data.n_atoms.tolist() == rows["numbers"].map(len).tolist()
    assert data.labels.shape == (30, len(properties))
    expected = rows[["formation_energy_per_atom", "band_gap", "energy_above_hull"]]
    np.testing.assert_allclose(data.labels, expected, rtol=1e-6)
    assert data.off_equilibrium.tolist() == (rows["kind"] != "relaxed").tolist()
    assert data.formulas == tuple(rows["formula"])
    assert element_symbols(data) == ("Li", "O", "F", "Na", "Mg", "Cl", "Ti", "Sr")


def test_columns_that_may_be_missing(rows, properties):
    lean = rows.drop(columns=["kind", "formula", "band_gap"])
    data = build_dataset(lean, properties, CUTOFF)
    assert not data.off_equilibrium.any()
    assert data.formulas == ()
    assert np.isnan(data.labels[:, 1]).all()
    batch = make_batch(data, np.arange(5), CUTOFF)
    assert (batch.weights[:, 1] == 0).all()
    assert batch.labels.isfinite().all()


def test_batch_is_the_crystals_built_directly(data, rows):
    index = np.array([7, 0, 21, 3])
    batch = make_batch(data, index, CUTOFF)
    direct = Crystals.from_structures([structure_of(rows.loc[k]) for k in index], torch.float32)
    crystals = batch.crystals
    assert torch.equal(crystals.species_probs, direct.species_probs)
    assert torch.equal(crystals.system_idx, direct.system_idx)
    torch.testing.assert_close(crystals.frac_coords, direct.frac_coords)
    for name in ("volume", "counts"):
        torch.testing.assert_close(getattr(crystals, name), getattr(direct, name))
    neighbors = neighbor_list(direct, CUTOFF, SKIN)
    for ours, theirs in zip(batch.neighbors.pairs, neighbors.pairs, strict=True):
        assert torch.equal(ours, theirs)
    lengths = batch.neighbors.vectors(crystals).norm(dim=1)
    expected = neighbors.vectors(direct).norm(dim=1)
    # Edges of one pair may come in another order.
    torch.testing.assert_close(lengths.sort().values, expected.sort().values)
    torch.manual_seed(0)
    settings = NetworkSettings(cutoff=CUTOFF, channels=8, moment_channels=4, hidden=8, layers=1)
    network = Network(settings, ("band_gap",))
    torch.testing.assert_close(
        network(crystals, batch.neighbors), network(direct, neighbor_list(direct, CUTOFF))
    )


def test_weights_say_which_labels_are_there(data):
    batch = make_batch(data, np.arange(10), CUTOFF)
    assert torch.equal(batch.weights[:, 1] == 0, torch.from_numpy(np.isnan(data.labels[:10, 1])))
    assert (batch.weights[:, 0] == 1).all()
    assert (batch.labels[batch.weights == 0] == 0).all()


def noisy(data, noise=EVERYTHING, seed=0):
    keep = (False, True, False)
    index = np.arange(len(data))
    rng = np.random.default_rng(seed)
    return make_batch(data, index, CUTOFF, noise=noise, keep_on_noise=keep, rng=rng)


def test_noise_moves_relaxed_crystals_and_drops_labels_that_no_longer_hold(data):
    plain, moved = make_batch(data, np.arange(30), CUTOFF), noisy(data)
    # Those without a gap have no label that would hold: nothing is to be learnt from them deformed.
    relaxed = torch.tensor(~data.off_equilibrium & np.isfinite(data.labels[:, 1]))
    atoms = relaxed[plain.crystals.system_idx]
    shift = moved.crystals.cell - plain.crystals.cell
    assert (shift.abs().amax((1, 2)) > 1e-4)[relaxed].all()
    strain = torch.linalg.solve(plain.crystals.cell, moved.crystals.cell) - torch.eye(3)
    torch.testing.assert_close(strain, strain.transpose(1, 2), rtol=0, atol=1e-5)
    assert strain.abs().max() < 0.1
    step = (moved.crystals.frac_coords - plain.crystals.frac_coords)[atoms]
    assert (step.abs().amax(1) > 1e-5).all()
    assert step.abs().max() < 0.1
    assert (moved.weights[relaxed][:, [0, 2]] == 0).all()
    assert torch.equal(moved.weights[:, 1], plain.weights[:, 1])


def test_noise_leaves_crystals_off_equilibrium_alone(data):
    plain, moved = make_batch(data, np.arange(30), CUTOFF), noisy(data)
    off = torch.tensor(data.off_equilibrium)
    atoms = off[plain.crystals.system_idx]
    assert off.sum() == 10
    assert torch.equal(moved.crystals.cell[off], plain.crystals.cell[off])
    assert torch.equal(moved.crystals.frac_coords[atoms], plain.crystals.frac_coords[atoms])
    assert torch.equal(moved.weights[off], plain.weights[off])


def test_share_of_noise(data):
    some = noisy(data, Noise(share=0.5))
    plain = make_batch(data, np.arange(30), CUTOFF)
    changed = (some.crystals.cell != plain.crystals.cell).any(2).any(1)
    assert 2 <= changed.sum() <= 14
    none = noisy(data, Noise(share=0.0))
    assert torch.equal(none.crystals.cell, plain.crystals.cell)
    assert torch.equal(none.weights, plain.weights)


def test_same_generator_same_noise(data):
    assert torch.equal(noisy(data).crystals.cell, noisy(data).crystals.cell)
    assert not torch.equal(noisy(data).crystals.cell, noisy(data, seed=1).crystals.cell)


def test_displacements_are_in_angstrom(data):
    moved = noisy(data, Noise(share=1.0, strain=0.0, shear=0.0, displacement=0.03))
    plain = make_batch(data, np.arange(30), CUTOFF)
    step = (moved.crystals.positions - plain.crystals.positions)[
        torch.tensor(~data.off_equilibrium & np.isfinite(data.labels[:, 1]))[
            plain.crystals.system_idx
        ]
    ]
    assert step.std().item() == pytest.approx(0.03, rel=0.15)
    assert torch.equal(moved.crystals.cell, plain.crystals.cell)


def test_property_may_name_its_own_column(rows):
    data = build_dataset(rows.assign(charm=np.arange(30.0)), ("charm",), CUTOFF)
    np.testing.assert_array_equal(data.labels[:, 0], np.arange(30))


def test_shipped_layout(shared_data):
    rows = pd.read_parquet(shared_data / "megnet_mp2018.parquet")
    data = build_dataset(rows.iloc[:50], ("formation_energy", "band_gap"), CUTOFF)
    batch = make_batch(data, np.arange(50), CUTOFF)
    assert batch.crystals.n_systems == 50
    assert (batch.weights[:, 0] == 1).all()
    formulas = [s.composition.reduced_formula for s in batch.crystals.to_structures()]
    assert formulas == list(rows["formula"].iloc[:50])
