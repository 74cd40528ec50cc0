"""Forces and stress: axes of the layout, slopes of the energy, their loss."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from ase.geometry import cellpar_to_cell
from pymatgen.core import Lattice, Structure
from scipy.stats import special_ortho_group

from smoacs.errors import InputError
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.training.data import Noise, build_dataset, make_batch
from smoacs.training.fitting.evaluation import derivative_errors
from smoacs.training.fitting.fit import FitSettings, fit
from smoacs.training.fitting.loss import (
    FORCE_SCALE,
    STRESS_SCALE,
    LossTerm,
    derivative_loss,
    energy_derivatives,
    loss_of,
)
from smoacs.training.layout import check_crystals, layout_row, tensors_of

GPA = 160.21766208
CUTOFF = 4.0
SETTINGS = NetworkSettings(
    cutoff=CUTOFF, channels=8, moment_channels=4, hidden=8, layers=1, radial=6, moment_radial=4
)
PROPERTIES = ("band_gap", "formation_energy")


def random_structure(seed):
    rng = np.random.default_rng(seed)
    turn = special_ortho_group.rvs(3, random_state=seed)
    cell = (np.diag(rng.uniform(3.5, 4.5, 3)) + rng.normal(0, 0.2, (3, 3))) @ turn
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0.5]]) + rng.normal(0, 0.03, (3, 3))
    return Structure(Lattice(cell), ["Na", "Cl", "O"], sites)


@pytest.fixture
def table():
    """Six crystals; the first three have forces, the first and the last have a stress."""
    rows = []
    for k in range(6):
        rng = np.random.default_rng(100 + k)
        structure = random_structure(k)
        tensor = rng.normal(0, 5, (3, 3))
        row = layout_row(
            structure,
            forces=rng.normal(0, 1, (3, 3)) if k < 3 else None,
            stress=tensor + tensor.T if k in (0, 5) else None,
        )
        rows.append({**row, "formation_energy": -1.0, "band_gap": 1.0, "kind": "strained"})
    return pd.DataFrame(rows)


@pytest.fixture
def data(table):
    return build_dataset(table, PROPERTIES, CUTOFF)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Network(SETTINGS, PROPERTIES)
    network.scale.fill_(10.0)
    return network


def test_layout_turns_vectors_with_the_cell():
    structure = random_structure(1)
    rng = np.random.default_rng(0)
    forces, tensor = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    row = layout_row(structure, forces=forces, stress=tensor + tensor.T)
    cell = cellpar_to_cell(row["lattice"])
    turned = row["forces"].reshape(3, 3)
    # Projections on the cell's own vectors do not depend on the axes.
    np.testing.assert_allclose(
        turned @ cell.T, forces @ structure.lattice.matrix.T, rtol=1e-4, atol=1e-4
    )
    stress = row["stress"].reshape(3, 3)
    expected = structure.lattice.matrix @ (tensor + tensor.T) @ structure.lattice.matrix.T
    np.testing.assert_allclose(cell @ stress @ cell.T, expected, rtol=1e-4, atol=1e-3)
    assert np.abs(turned - forces).max() > 0.1


def test_stress_in_voigt_order():
    full = tensors_of([[1.0, 2, 3, 4, 5, 6], None, np.arange(9.0)])
    assert full[0].tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    assert np.isnan(full[1]).all()
    assert full[2].tolist() == np.arange(9.0).reshape(3, 3).tolist()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("forces", [1.0, 2.0], r"row 1: forces must be 9 finite numbers"),
        ("forces", [np.nan] * 9, r"row 1: forces must be 9 finite numbers"),
        ("stress", [1.0] * 5, r"row 1: stress must be 6 or 9 finite numbers"),
    ],
)
def test_lists_of_wrong_length(table, column, value, message):
    values = table[column].tolist()
    values[1] = value
    with pytest.raises(InputError, match=message):
        check_crystals(table.assign(**{column: values}), "the file")


def test_which_crystals_have_labels(data):
    assert data.has_derivatives.tolist() == [True, True, True, False, False, True]
    batch = make_batch(data, np.array([4, 0]), CUTOFF)
    assert torch.isnan(batch.forces[:3]).all()
    assert torch.isfinite(batch.forces[3:]).all()
    assert torch.isfinite(batch.stress).all(2).all(1).tolist() == [False, True]


def double_batch(data, index):
    batch = make_batch(data, index, CUTOFF)
    crystals = batch.crystals.to("cpu", torch.float64)
    return replace(batch, crystals=crystals)


def test_forces_and_stress_are_slopes_of_the_cells_energy(network, data):
    network.double()
    batch = double_batch(data, np.array([1, 3]))
    raw, forces, stress = energy_derivatives(network, batch, 1)
    torch.testing.assert_close(raw, network.raw(batch.crystals, batch.neighbors)[0])

    def energy(crystals):
        with torch.no_grad():
            return 3 * network.raw(crystals, batch.neighbors)[0, :, 1]

    step = 1e-4
    for atom, axis in ((1, 0), (4, 2), (5, 1)):
        shift = torch.zeros_like(batch.crystals.frac_coords)
        owner = int(batch.crystals.system_idx[atom])
        shift[atom] = step * torch.linalg.inv(batch.crystals.cell[owner])[axis]
        up, down = (
            energy(batch.crystals.replace(frac_coords=batch.crystals.frac_coords + s * shift))
            for s in (1, -1)
        )
        slope = ((up - down) / (2 * step))[owner]
        assert slope.abs() > 1e-3
        torch.testing.assert_close(forces[atom, axis], -slope, rtol=1e-5, atol=1e-7)
    for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] += 0.5 * step
        strain[j, i] += 0.5 * step
        eye = torch.eye(3, dtype=torch.float64)
        up, down = (
            energy(batch.crystals.replace(cell=batch.crystals.cell @ (eye + s * strain)))
            for s in (1, -1)
        )
        slope = (up - down) / (2 * step) / batch.crystals.volume * GPA
        assert slope.abs().max() > 1e-2
        torch.testing.assert_close(stress[:, i, j], slope, rtol=1e-5, atol=1e-6)


def test_gradient_of_the_loss_by_the_weights(network, data):
    network.double()
    batch = double_batch(data, np.array([0, 1, 4, 5]))
    weights = network.interactions[0].send.weight

    def loss():
        _, forces, stress = energy_derivatives(network, batch, 1)
        return derivative_loss(forces, stress, batch, force_weight=1.0, stress_weight=1.0)

    loss().backward()
    steepest = int(weights.grad.abs().argmax())
    step = 1e-5
    flat = weights.data.flatten()
    flat[steepest] += step
    weights.data = flat.view_as(weights)
    up = loss().detach()
    flat[steepest] -= 2 * step
    weights.data = flat.view_as(weights)
    slope = (up - loss().detach()) / (2 * step)
    assert slope.abs() > 1e-4
    torch.testing.assert_close(weights.grad.flatten()[steepest], slope, rtol=1e-4, atol=1e-8)


def test_nothing_is_left_on_the_cpu(network, data, monkeypatch):
    # The device "meta" computes shapes alone, and refuses to mix with tensors of the CPU.
    elsewhere = torch.device("meta")
    batch = make_batch(data, np.arange(6), CUTOFF)
    pairs = [x.to(elsewhere) for x in batch.neighbors.pairs]
    counts = batch.crystals.counts.to(elsewhere)
    batch = batch.to(elsewhere)
    monkeypatch.setitem(vars(batch.neighbors), "pairs", pairs)  # their number is no shape
    monkeypatch.setattr(type(batch.crystals), "counts", property(lambda _: counts))
    network = network.to(elsewhere)
    raw, forces, stress = energy_derivatives(network, batch, 1)
    terms = [LossTerm(scale=1.0, censored=True), LossTerm(scale=1.0, log10=True)]
    loss = loss_of(raw, batch, terms) + derivative_loss(
        forces, stress, batch, force_weight=1.0, stress_weight=1.0
    )
    loss.backward()
    assert network.embedding.grad.device == elsewhere


def test_loss_counts_crystals_and_not_atoms(data):
    batch = make_batch(data, np.array([0, 5]), CUTOFF)
    forces = torch.nan_to_num(batch.forces)
    stress = torch.nan_to_num(batch.stress)
    weights = {"force_weight": 2.0, "stress_weight": 3.0}
    assert derivative_loss(forces, stress, batch, **weights) == 0
    wrong_forces = derivative_loss(forces + FORCE_SCALE, stress, batch, **weights)
    assert float(wrong_forces) == pytest.approx(2.0 * 0.95 / 2, rel=1e-4)  # one of two has forces
    wrong_stress = derivative_loss(forces, stress + STRESS_SCALE, batch, **weights)
    assert float(wrong_stress) == pytest.approx(3.0 * 0.95, rel=1e-4)
    none = derivative_loss(forces + 1, stress + 1, batch, force_weight=0.0, stress_weight=0.0)
    assert none == 0


def test_noise_leaves_crystals_with_forces_alone(table):
    relaxed = build_dataset(table.assign(kind="relaxed"), PROPERTIES, CUTOFF)
    moved = make_batch(
        relaxed,
        np.arange(6),
        CUTOFF,
        noise=Noise(share=1.0),
        keep_on_noise=(True, True),
        rng=np.random.default_rng(0),
    )
    plain = make_batch(relaxed, np.arange(6), CUTOFF)
    same = (moved.crystals.cell == plain.crystals.cell).all(2).all(1)
    assert same.tolist() == relaxed.has_derivatives.tolist()


def test_fit_learns_forces(network, table, tmp_path):
    # Labels from another network, so that they are slopes of an energy.
    torch.manual_seed(1)
    teacher = Network(SETTINGS, PROPERTIES)
    teacher.scale.fill_(30.0)
    data = build_dataset(table.assign(kind="relaxed"), PROPERTIES, CUTOFF)
    batch = make_batch(data, np.arange(6), CUTOFF)
    raw, forces, stress = (x.detach().numpy() for x in energy_derivatives(teacher, batch, 1))
    data = replace(data, forces=forces, stress=stress, labels=raw)
    before = derivative_errors(network, data)
    settings = FitSettings(
        epochs=60, batch_size=6, validations=1, noise=Noise(share=0.0), learning_rate=1e-2
    )
    errors = fit(
        network,
        data,
        data,
        terms=[LossTerm(scale=0.5), LossTerm(scale=0.5)],
        settings=settings,
        checkpoint=tmp_path / "member.pt",
    )
    assert before["forces"] > 1e-2
    assert errors["forces"] < 0.6 * before["forces"]
    assert errors["stress"] < 0.6 * before["stress"]
