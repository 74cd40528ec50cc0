"""Lattice lengths by ionic radii."""

import pytest
import torch

from smoacs.chemistry import element_index
from smoacs.crystals import Candidates, DesignSpace
from smoacs.relaxation import change_elements, radius_length, start_at_radii
from smoacs.templates import perovskite, prototype
from toys import Spring

TEMPLATE = perovskite().with_elements(allowed=Spring.elements)
KNOWN = {("Sr", "Ti", "O"): 3.905, ("K", "Mg", "F"): 3.99, ("Ba", "Zr", "O"): 4.19}


def real_perovskite(symbols, repeat=1):
    """One perovskite of A, B and X, charges +1 +2 -1 or +2 +4 -2."""
    template = perovskite(repeat)
    charge = -2 if symbols[2] == "O" else -1
    k = 1 if charge == -2 else 0
    assert template.combinations[k, -1] == charge
    elements = [element_index(symbols["ABX".index(label)]) for label in template.site_labels]
    space = DesignSpace.from_templates([template])
    return Candidates.real(space, torch.tensor([k]), torch.tensor(elements))


def hardened(n):
    candidates = Candidates.start(
        DesignSpace.from_templates([TEMPLATE] * n),
        torch.Generator().manual_seed(0),
        score_noise=1.0,
        combination_noise=1.0,
    )
    candidates.harden()
    return candidates


@pytest.mark.parametrize("symbols", KNOWN)
def test_length_is_near_that_of_known_perovskites(symbols):
    length = radius_length(real_perovskite(symbols).hard())
    assert float(length[0].detach()) == pytest.approx(KNOWN[symbols], rel=0.05)


@pytest.mark.parametrize("repeat", [1, 2])
def test_a_start_at_radii_has_cubes_of_that_length(repeat):
    candidates = real_perovskite(("Sr", "Ti", "O"), repeat)
    start_at_radii(candidates, candidates.hard(), repeat)
    lengths = candidates.lengths.detach()
    assert torch.equal(lengths, lengths[:, :1].expand(1, 3))
    assert float(lengths[0, 0]) == pytest.approx(3.905 * repeat, rel=0.05)
    assert candidates.lengths.requires_grad


def test_without_roles_lengths_stay():
    space = DesignSpace.from_templates([prototype("rutile")])
    elements = torch.tensor([21, 21, 7, 7, 7, 7])
    candidates = Candidates.real(space, torch.tensor([0]), elements)
    before = candidates.lengths.detach().clone()
    assert radius_length(candidates.hard()) is None
    start_at_radii(candidates, candidates.hard(), 1)
    change_elements(candidates, torch.tensor([0]), torch.tensor([[39, 39, 7, 7, 7, 7]]))
    assert torch.equal(candidates.lengths.detach(), before)
    assert candidates.rows.tolist() == [[39, 39, 7, 7, 7, 7]]


def test_lengths_follow_the_ions_of_those_that_change():
    candidates = hardened(4)
    before = candidates.lengths.detach().clone()
    everyone = torch.arange(4)
    change_elements(candidates, everyone, candidates.rows.clone())
    torch.testing.assert_close(candidates.lengths.detach(), before)
    sizes = torch.tensor(TEMPLATE.radii)[candidates.combination][:, 2]  # on the first X site
    largest = candidates.rows.clone()
    largest[:, 2:] = sizes.argmax(1, keepdim=True)
    untouched = candidates.rows[0].clone()
    old = radius_length(candidates.hard())
    some = torch.tensor([1, 2, 3])
    change_elements(candidates, some, largest[some])
    assert torch.equal(candidates.rows[0], untouched)
    assert torch.equal(candidates.rows[1:], largest[1:])
    growth = (radius_length(candidates.hard()) / old).detach()
    assert growth[0] == 1
    assert growth.max() > 1.02
    after = candidates.lengths.detach()
    inside = (after < 10.0).all(1)  # the others stop at the upper bound
    assert inside[1:].any()
    torch.testing.assert_close(after[inside], (before * growth[:, None])[inside])
