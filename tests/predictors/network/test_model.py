from dataclasses import replace

import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import InputError
from smoacs.predictors.builtin import NetworkPredictor
from smoacs.predictors.network import Network, power_of_ten
from smoacs.predictors.network.edges import WALL
from smoacs.predictors.weights.storage import stack_members
from smoacs.testing import CHECKS
from toys import random_structures

NO_FORMULAS = torch.zeros(0, dtype=torch.int64)


def similar(network):
    """Another member of the same sizes and output scales."""
    torch.manual_seed(5)
    other = Network(network.settings, network.properties)
    other.scale.copy_(network.scale)
    return other


def pair_of_atoms(distance, symbols=("Na", "Cl")):
    """Two atoms in a cell so large that no image is near."""
    structure = Structure(Lattice.cubic(20), symbols, [[0, 0, 0], [distance / 20, 0, 0]])
    return Crystals.from_structures([structure])


def along_the_bond(network, distance):
    """Properties of a pair of atoms and their slopes in the distance, each [properties]."""
    crystals = pair_of_atoms(distance)
    frac = crystals.frac_coords.requires_grad_()
    moved = crystals.replace(frac_coords=frac)
    values = network(moved, neighbor_list(moved, network.settings.cutoff))[0, 0]
    slopes = [torch.autograd.grad(v, frac, retain_graph=True)[0][1, 0] / 20 for v in values]
    return values.detach(), torch.stack(slopes)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_kit(network, header, check, precision):
    check(NetworkPredictor(network.to(precision), header, NO_FORMULAS))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_kit_with_normalised_messages(settings, header, check):
    torch.manual_seed(3)
    changed = replace(settings, normalise_messages=True)
    network = Network(changed, tuple(header.properties)).double()
    check(NetworkPredictor(network, replace(header, settings=changed), NO_FORMULAS))


def test_normalised_messages_do_not_grow_with_the_features(settings, header):
    """What keeps the invariants in range: features ten times as large send the same."""
    torch.manual_seed(3)
    network = Network(replace(settings, normalise_messages=True), tuple(header.properties))
    crystals = Crystals.from_structures(random_structures(1, [5])).to("cpu", torch.float32)
    geometry = network.geometry(crystals, neighbor_list(crystals, settings.cutoff))
    h = torch.randn(1, crystals.n_atoms, settings.channels)
    layer = network.interactions[0]
    once, tenfold = (layer.normalised(x) for x in (h, 10 * h))
    assert torch.allclose(once, tenfold, atol=1e-4)
    assert not torch.allclose(layer(h, geometry), layer(10 * h, geometry), atol=1e-2)


def test_kit_for_an_ensemble(network, settings, header):
    ensemble = stack_members([network, similar(network)])
    predictor = NetworkPredictor(
        ensemble.double(),
        replace(header, settings=ensemble.settings),
        NO_FORMULAS,
    )
    assert "band_gap.std" in predictor.properties
    for check in CHECKS.values():
        check(predictor)


def test_gradient_in_double_precision(network):
    network.double()
    crystals = Crystals.from_structures(random_structures(0, (2, 3)))
    neighbors = neighbor_list(crystals, network.settings.cutoff)
    direction = torch.randn(crystals.species_probs.shape).double() / 98

    def values(soften, frac_coords, cell):
        probs = crystals.species_probs + soften * direction
        moved = crystals.replace(species_probs=probs, frac_coords=frac_coords, cell=cell)
        return network(moved, neighbors).flatten()

    inputs = [torch.zeros((), dtype=torch.float64), crystals.frac_coords, crystals.cell]
    inputs = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(values, inputs, eps=1e-7, atol=1e-4, rtol=1e-4)
    gradients = torch.autograd.grad(values(*inputs).sum(), inputs)
    assert all(g.abs().max() > 0.01 for g in gradients)


def test_fixed_neighbors_give_the_same_while_they_hold_every_pair(network):
    network.double()
    crystals = Crystals.from_structures(random_structures(1, (3, 4)))
    cutoff = network.settings.cutoff
    old = neighbor_list(crystals, cutoff, skin=0.4)
    strain = 0.01 * torch.randn(2, 3, 3).double()
    moved = crystals.replace(cell=crystals.cell + crystals.cell @ strain)
    expected = network(moved, neighbor_list(moved, cutoff))
    torch.testing.assert_close(network(moved, old), expected, rtol=0, atol=1e-12)


def test_one_hot_species_are_rows_of_the_embedding(network):
    crystals = pair_of_atoms(2.5)
    single = crystals.to("cpu", torch.float32)
    hot = network(single, neighbor_list(single, 5.0))
    mixed = 0.5 * (single.species_probs + single.species_probs.flip(0))
    halfway = network(single.replace(species_probs=mixed), neighbor_list(single, 5.0))
    other = network(
        single.replace(species_probs=single.species_probs.flip(0)), neighbor_list(single, 5.0)
    )
    torch.testing.assert_close(hot, other)  # the pair is the same, turned around
    assert (halfway - hot).abs().min() > 1e-3


def test_stacked_members_are_the_members(network, settings):
    other = similar(network)
    ensemble = stack_members([network, other])
    assert ensemble.settings.members == 2
    crystals = Crystals.from_structures(random_structures(2, (3, 5)), torch.float32)
    neighbors = neighbor_list(crystals, 5.0)
    together = ensemble(crystals, neighbors)
    alone = torch.cat([network(crystals, neighbors), other(crystals, neighbors)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert (alone[0] - alone[1]).abs().min() > 1e-3
    again = stack_members([ensemble, other])
    torch.testing.assert_close(again(crystals, neighbors)[:2], together, rtol=1e-5, atol=1e-5)


def test_predictor_gives_mean_and_spread_of_the_members(network, settings, header):
    ensemble = stack_members([network, similar(network)])
    crystals = Crystals.from_structures(random_structures(2, (3, 5)), torch.float32)
    neighbors = neighbor_list(crystals, 5.0)
    wide = replace(header, settings=ensemble.settings)
    out = NetworkPredictor(ensemble, wide, NO_FORMULAS)(crystals, neighbors)
    members = ensemble(crystals, neighbors)
    for k, name in enumerate(network.properties):
        torch.testing.assert_close(out[name], members[:, :, k].mean(0))
        torch.testing.assert_close(out[name + ".std"], members[:, :, k].std(0))


def test_members_of_different_kinds_do_not_stack(network, settings):
    with pytest.raises(InputError, match="same properties"):
        stack_members([network, Network(settings, ("band_gap",))])
    larger = replace(settings, channels=32)
    with pytest.raises(InputError, match="same sizes"):
        stack_members([network, Network(larger, network.properties)])


def test_members_of_different_output_scales_do_not_stack(network, settings):
    other = Network(settings, network.properties)
    other.scale.fill_(2.0)
    with pytest.raises(InputError, match="scale"):
        stack_members([network, other])


def test_values_and_slopes_are_continuous_at_the_cutoff(network):
    network.double()
    cutoff = network.settings.cutoff
    inside, slope_inside = along_the_bond(network, cutoff - 1e-6)
    outside, slope_outside = along_the_bond(network, cutoff + 1e-6)
    assert neighbor_list(pair_of_atoms(cutoff - 1e-6), cutoff).n_edges == 1
    assert neighbor_list(pair_of_atoms(cutoff + 1e-6), cutoff).n_edges == 0
    torch.testing.assert_close(inside, outside, rtol=0, atol=1e-6)
    assert (slope_outside == 0).all()
    assert slope_inside.abs().max() < 1e-4
    nearer, slope_nearer = along_the_bond(network, cutoff - 1.0)
    assert (nearer - outside).abs().min() > 1e-4
    assert slope_nearer.abs().min() > 1e-4


def test_close_atoms_repel_ever_more(network):
    with torch.no_grad():
        network.site_head.second.weight.zero_()  # what is left is repulsion
        network.pool_head.second.weight.zero_()
    onset = WALL.onset * (1.66 + 1.02)  # Å
    distances = torch.linspace(0.05, 2.1, 30).tolist()
    out = torch.stack([along_the_bond(network.double(), d)[0] for d in distances])
    energy, gap = out.T
    near = torch.tensor(distances) < onset
    assert (energy[near].diff() < 0).all()
    assert (energy[~near] - energy[-1]).abs().max() == 0
    assert energy[0] - energy[-1] > 10  # eV/atom
    assert gap.max() == gap.min()


def test_atoms_in_one_place_have_finite_values_and_gradients(network):
    values, slopes = along_the_bond(network.double(), 0.0)
    assert values.isfinite().all()
    assert slopes.isfinite().all()
    assert values[0] > along_the_bond(network, 2.5)[0][0] + 10


def test_power_of_ten_goes_on_straight():
    exponents = torch.tensor([-3.0, 0.0, 1.9, 2.0, 2.1, 500.0]).double().requires_grad_()
    values = power_of_ten(exponents, 2.0)
    torch.testing.assert_close(values[:4], 10.0 ** exponents[:4])
    tangent = 100 * (1 + torch.log(torch.tensor(10.0).double()) * (exponents[4:] - 2))
    torch.testing.assert_close(values[4:], tangent)
    assert torch.autograd.gradcheck(lambda x: power_of_ten(x, 2.0), exponents[[0, 1, 2, 4, 5]])


def test_property_held_as_a_logarithm(network, settings, header):
    torch.manual_seed(6)
    logarithmic = Network(settings, ("formation_energy", "bulk_modulus"), {"bulk_modulus": 3.0})
    with torch.no_grad():
        logarithmic.element_shift[..., 1].normal_(2.0, 0.5)
    crystals = Crystals.from_structures(random_structures(2, (3, 5)), torch.float32)
    neighbors = neighbor_list(crystals, 5.0)
    raw, values = logarithmic.raw(crystals, neighbors), logarithmic(crystals, neighbors)
    assert torch.equal(values[..., 0], raw[..., 0])
    torch.testing.assert_close(values[..., 1].log10(), raw[..., 1])
    units = {"formation_energy": "eV/atom", "bulk_modulus": "GPa"}
    own = replace(header, properties=units, log10={"bulk_modulus": 3.0})
    predictor = NetworkPredictor(logarithmic.double(), own, NO_FORMULAS)
    for name in ("outputs", "supercell", "gradient", "extrapolation"):
        CHECKS[name](predictor)
