import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import Candidates, DesignSpace
from smoacs.search.gradient.copy_mutate import choose_sources, copy_and_mutate
from smoacs.search.settings import PAPER, CopyMutateSettings
from smoacs.templates import from_structure, perovskite

INF = float("inf")
SETTINGS = CopyMutateSettings(steps=(10,), noise=0.01, top_share=0.10, keep_share=0.05)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def chosen(loss, met, seed=0, settings=SETTINGS):
    source = choose_sources(loss, met, settings, generator(seed))
    itself = torch.arange(len(loss))
    return source, source == itself


def test_settings_are_those_of_the_paper():
    assert PAPER.copy_mutate == CopyMutateSettings(
        steps=(100, 150), noise=7e-5, top_share=0.10, keep_share=0.05
    )


def test_shares():
    n, n_met = 2000, 500
    loss = torch.rand(n, generator=generator(1)) + 1
    met = torch.zeros(n, dtype=torch.bool)
    met[torch.randperm(n, generator=generator(2))[:n_met]] = True
    source, stays = chosen(loss, met)
    best = torch.zeros(n, dtype=torch.bool)
    failing = torch.nonzero(~met).flatten()
    best[failing[loss[failing].argsort()[:150]]] = True  # a tenth of 1,500
    assert stays[met | best].all()
    rest = ~(met | best)
    assert 0.03 < stays[rest].float().mean() < 0.07
    assert (met | best)[source[~stays]].all()
    copies = torch.bincount(source[~stays], minlength=n)[met | best]
    assert copies.float().mean() == pytest.approx(2, abs=0.2)
    assert copies.max() < 12  # about Poisson: copied at random, not the best only


def test_met_stay_whatever_their_loss():
    loss = torch.tensor([5.0, 0.1, 9.0, 0.2, 7.0])
    met = torch.tensor([True, False, True, False, False])
    for seed in range(20):
        source, stays = chosen(loss, met, seed)
        assert stays[met].all()
        assert met[source].all() or not (~stays).all()
        assert set(source[~stays].tolist()) <= {0, 2}


@pytest.mark.parametrize("top_share", [0.1, 0.9, 1.0])
def test_not_finite_is_last_and_never_copied(top_share):
    settings = CopyMutateSettings(steps=(), noise=0, top_share=top_share, keep_share=0.0)
    loss = torch.tensor([INF, 3.0, INF, 1.0, 2.0, INF, INF, INF])
    met = torch.zeros(8, dtype=torch.bool)
    for seed in range(20):
        source, stays = chosen(loss, met, seed, settings)
        assert not stays[loss.isinf()].any()
        assert loss[source].isfinite().all()


def test_all_broken_stay():
    _, stays = chosen(torch.full((4,), INF), torch.zeros(4, dtype=torch.bool))
    assert stays.all()


def test_one_candidate_stays():
    assert chosen(torch.tensor([2.0]), torch.tensor([False]))[1].all()


def test_order_of_the_batch_does_not_matter():
    n = 50
    loss = torch.rand(n, generator=generator(1))
    loss[:5] = INF
    loss[7:9] = INF
    met = torch.zeros(n, dtype=torch.bool)
    met[20] = True
    source, _ = chosen(loss, met)
    for seed in range(5):
        order = torch.randperm(n, generator=generator(seed))
        moved, _ = chosen(loss[order], met[order])
        there = order[moved]  # in the old numbers
        finite = loss[order].isfinite()
        assert torch.equal(there[finite], source[order][finite])


def soft_perovskites(n=6):
    space = DesignSpace.from_templates([perovskite()] * n)
    soft = Candidates.start(space, generator(), score_noise=0.5, combination_noise=0.5)
    with torch.no_grad():
        soft.displacements.add_(0.05 * torch.randn(soft.displacements.shape, generator=generator()))
    return soft


def test_copies_are_noisy_and_start_their_elements_anew():
    soft = soft_perovskites()
    names = ("lengths", "displacements", "combination_scores", "element_scores")
    before = {name: getattr(soft, name).detach().clone() for name in names}
    source = torch.tensor([0, 4, 2, 4, 4, 0])
    changed = copy_and_mutate(soft, source, 1e-4, generator())
    assert changed.tolist() == [False, True, False, True, False, True]
    for name in names:
        now = getattr(soft, name).detach().view(6, -1)
        then = before[name].view(6, -1)
        assert torch.equal(now[~changed], then[~changed])
        if name != "element_scores":
            difference = (now - then[source])[changed]
            assert difference.abs().max() < 1e-3 * (soft.length_scale if name == "lengths" else 1)
            assert (difference != 0).any(1).all()
    scores = soft.element_scores.detach().view(6, -1)[changed]
    assert (scores - 1 / N_ELEMENTS).abs().max() < 1e-3
    assert scores.std() == pytest.approx(1e-4, rel=0.1)
    assert not torch.equal(scores[0], scores[1])


def test_copies_stay_within_bounds():
    soft = soft_perovskites()
    copy_and_mutate(soft, torch.tensor([0, 0, 0, 0, 0, 0]), 10.0, generator())
    lengths, angles = soft.lengths, soft.angles
    assert lengths.min() >= 2 - 1e-5
    assert lengths.max() <= 10 + 1e-5
    assert (angles == 90).all()
    assert soft.displacements.abs().max() <= 0.15


def test_noise_is_a_share_of_what_lengths_and_angles_may_span():
    lattice = Lattice.from_parameters(4.1, 5.2, 6.3, 75, 95, 110)
    structure = Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.4, 0.6]])
    space = DesignSpace.from_templates([from_structure(structure)] * 400)
    soft = Candidates.start(space, generator())
    before = soft.lengths.detach().clone(), soft.angles.detach().clone()
    source = torch.zeros(400, dtype=torch.int64)
    copy_and_mutate(soft, source, 1e-3, generator())
    lengths = (soft.lengths.detach() - before[0])[1:]
    angles = (soft.angles.detach() - before[1])[1:]
    assert float(lengths.std()) == pytest.approx(6.3e-3, rel=0.1)
    assert float(angles.std()) == pytest.approx(0.12, rel=0.1)  # of 30° to 150°


def test_nothing_changes_without_copies():
    soft = soft_perovskites()
    before = soft.element_scores.detach().clone()
    assert not copy_and_mutate(soft, torch.arange(6), 1.0, generator()).any()
    assert torch.equal(soft.element_scores, before)
