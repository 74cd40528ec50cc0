import numpy as np
import pytest
import torch

from smoacs.training.data import build_dataset
from smoacs.training.fitting.loss import LOSS_TERMS
from smoacs.training.fitting.mixtures import mixture_batch, mixture_loss

CUTOFF = 4.0


@pytest.fixture
def data(rows, properties):
    return build_dataset(rows, properties, CUTOFF)


def test_thirds_are_the_crystal_a_swap_of_it_and_their_blend(data):
    index = np.array([0, 3])
    rng = np.random.default_rng(0)
    elements = np.unique(data.numbers)
    batch = mixture_batch(data, index, CUTOFF, elements=elements, rng=rng)
    first, second, blend = batch.crystals.species_probs.chunk(3)
    numbers = np.concatenate(
        [data.numbers[data.atom_offsets[k] : data.atom_offsets[k + 1]] for k in index]
    )
    assert (first.argmax(1).numpy() + 1 == numbers).all()
    assert ((second > 0).sum(1) == 1).all()
    assert set((second.argmax(1) + 1).tolist()) <= set(elements.tolist()) | set(numbers.tolist())
    # The blend lies on the straight path, with one share for each crystal.
    torch.testing.assert_close(blend.sum(1), torch.ones(len(numbers)))
    changed = (first != second).any(1)
    assert (blend[~changed] == first[~changed]).all()
    own_share = blend[torch.arange(len(numbers)), torch.from_numpy(numbers.astype(int)) - 1]
    system = batch.crystals.system_idx[: len(numbers)]
    for k in range(2):
        shares = own_share[changed & (system == k)]
        if len(shares):
            assert 0.15 <= shares[0] <= 0.85
            torch.testing.assert_close(shares, shares[:1].expand_as(shares))
    # Geometry is the same in all thirds.
    thirds = batch.crystals.frac_coords.chunk(3)
    assert torch.equal(thirds[0], thirds[2])


def test_only_blends_below_both_ends_cost():
    terms = [LOSS_TERMS[p] for p in ("formation_energy", "band_gap")]
    ends = torch.tensor([[-1.0, 0.0], [-2.0, 5.0]])
    for blend, costs in ((-1.5, False), (-1.99, False), (-2.2, True)):
        raw = torch.tensor([*ends.tolist(), [blend, -9.0]], requires_grad=True)
        loss = mixture_loss(raw, ("formation_energy", "band_gap"), terms)
        (gradient,) = torch.autograd.grad(loss, raw)
        assert (loss.item() > 0) == costs
        assert torch.equal(gradient[:2], torch.zeros(2, 2))  # ends are not pulled down or up
        assert gradient[2, 1] == 0
        assert (gradient[2, 0] < 0) == costs
