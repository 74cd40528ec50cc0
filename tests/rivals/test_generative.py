"""The generative rival: its data on the template's sites, its training, its latents' descent."""

import numpy as np
import pandas as pd
import pytest
import torch

from toys import Bowl, PairEnergy

pytest.importorskip("cmaes")
pytest.importorskip("optuna")

from benchmarks.rivals import CountingPredictor, Generative, Space, compete, trained_generator
from benchmarks.rivals import perovskite_vae as module
from benchmarks.rivals.perovskite_vae import SITES, Perovskites, Vae, read_perovskites
from smoacs.judging import judge
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.request import DesignConfig

TARGETS = ("toy < 0.5", "0.8 <= tolerance_factor <= 1.0")
A, B, X = (12, 20, 38, 56), (22, 40, 72), (8, 16)


def rows(n, rng):
    """Perovskites in any order of the metals and anions, around any origin."""
    for k in range(n):
        numbers = [rng.choice(A), rng.choice(B), *rng.choice(X, 3)]
        shifts = rng.normal(0, 0.01, (5, 3))
        shifts[1] = 0
        order = [*rng.permutation(2), *(2 + rng.permutation(3))]
        frac = (SITES + shifts + rng.uniform(0, 1, 3))[order] % 1.0
        length = rng.uniform(3.8, 4.4)
        yield {
            "numbers": np.array(numbers, dtype=np.uint8)[order],
            "frac_coords": frac.ravel().astype(np.float32),
            "lattice": np.array([length] * 3 + [90.0] * 3, dtype=np.float32),
            "split": "val" if k % 4 == 0 else "train",
            "truth": sorted(numbers[2:]),
        }


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "perov5.parquet"
    pd.DataFrame(list(rows(400, np.random.default_rng(0)))).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def generator(table):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CONDITIONS", ("toy",))
        patch.setattr(module, "MOST_EPOCHS", 12)
        patch.setattr(module, "BATCH", 32)
        patch.setattr(module, "HIDDEN", 64)
        yield trained_generator(table, toys(), seed=0)


def toys():
    return CombinedPredictor([PairEnergy(), Bowl(), ToleranceFactor()])


def test_crystals_are_moved_onto_the_sites_of_the_template(table):
    crystals = read_perovskites(table, "train")
    assert len(crystals) == 300
    assert set((crystals.elements[:, 0] + 1).tolist()) == set(A)
    assert set((crystals.elements[:, 1] + 1).tolist()) == set(B)
    assert crystals.shifts.abs().max() < 0.08
    assert (crystals.shifts[:, 1].abs() < 1e-6).all()
    assert crystals.kept.all()
    raw = pd.read_parquet(table)
    raw = raw[raw["split"] == "train"]
    for row, anions in zip(crystals.elements.tolist(), raw["truth"], strict=True):
        assert sorted(z + 1 for z in row[2:]) == list(anions)


def test_turned_axes_give_the_same_crystals(table):
    crystals = read_perovskites(table, "val")
    turned = crystals.turned((2, 0, 1))
    assert not torch.equal(turned.elements, crystals.elements)
    for before, after in zip(
        crystals.crystals().to_structures()[:5], turned.crystals().to_structures()[:5], strict=True
    ):
        own, other = np.sort(before.distance_matrix.ravel()), after.distance_matrix.ravel()
        assert np.allclose(own, np.sort(other), atol=1e-4)
        assert before.composition == after.composition
        for k in range(5):
            near = np.linalg.norm((after.frac_coords - SITES + 0.5) % 1 - 0.5, axis=1)
            assert near[k] < 0.1


def test_neutrality_of_samples_is_that_of_the_table():
    elements = torch.tensor([[37, 21, 7, 7, 7], [37, 21, 7, 7, 6]])  # SrTiO3, SrTiO2N
    crystals = Perovskites(elements, torch.tensor([3.9, 3.9]), torch.zeros(2, 5, 3))
    assert crystals.neutral.tolist() == [True, False]


def test_training_learns_repeats_and_is_kept(generator, table, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CONDITIONS", ("toy",))
    monkeypatch.setattr(module, "MOST_EPOCHS", 2)
    monkeypatch.setattr(module, "HIDDEN", 64)
    untrained = Vae(["toy"])
    first = trained_generator(table, toys(), seed=1, cache=tmp_path)
    assert len(list(tmp_path.glob("vae-*.pt"))) == 1
    kept = trained_generator(table, toys(), seed=1, cache=tmp_path)
    again = trained_generator(table, toys(), seed=1)
    other = trained_generator(table, toys(), seed=2, cache=tmp_path)
    for name, tensor in first.vae.state_dict().items():
        assert torch.equal(tensor, kept.vae.state_dict()[name])
        assert torch.equal(tensor, again.vae.state_dict()[name])
    assert kept.report == first.report
    assert not torch.equal(first.vae.decoder[0].weight, other.vae.decoder[0].weight)
    assert generator.report["validation_loss"] < first.report["validation_loss"]
    assert generator.report["perovskite"] > 0.9
    assert generator.report["decodable"] > 0.9
    assert set(untrained.state_dict()) == set(first.vae.state_dict())


def contest(generator, *, relaxes=False, seed=0, budget=1000, targets=TARGETS):
    predictor = toys()
    config = DesignConfig(targets=targets, rest="none", search="gradient")
    targets = config.wanted
    counting = CountingPredictor(predictor, targets, budget=budget, at_rest=relaxes)
    template = config.resolved_template(predictor.elements)
    space = Space([template], targets, counting)
    rival = Generative(space, generator, seed=seed, relaxes=relaxes)
    ended = compete(rival, space, counting)
    return counting, rival, template, ended


def test_latents_descend_and_what_comes_keeps_the_hard_constraints(generator):
    counting, rival, template, ended = contest(generator)
    assert ended in {"budget", "nothing left"}
    assert 0 < counting.calls <= 1000
    best = counting.best(8)
    table = judge(best, counting.targets, predictor=toys(), template=template)
    assert table["neutral"].all()
    assert table["template_kept"].all()
    assert table["formula"].is_unique
    assert rival._latents.isfinite().all()


def test_latents_go_where_the_predictor_leads(generator):
    counting, rival, *_ = contest(generator, budget=1, targets=("minimize toy",))
    counting.budget = None
    before = _values(rival)
    rival._descend(10)
    assert _values(rival) < before


def _values(rival):
    crystals, _ = rival._soft_crystals(rival.vae.decode(rival._latents, rival._conditions))
    return float(Bowl()(crystals, None)["toy"].mean())


def test_the_same_seed_repeats_and_relaxed_finds_are_at_rest(generator):
    first, again, other = (
        contest(generator, seed=seed, budget=700)[0].best(5) for seed in (3, 3, 4)
    )
    assert [s.formula for s in first] == [s.formula for s in again]
    assert [s.lattice.a for s in first] == [s.lattice.a for s in again]
    assert [s.lattice.a for s in first] != [s.lattice.a for s in other]
    counting, _, template, _ = contest(generator, relaxes=True, budget=700)
    assert len(counting.finds_at_rest) <= len(counting.finds)
    for structure in counting.best(3, at_rest=True)[: len(counting.finds_at_rest)]:
        asked = {"predictor": toys(), "template": template, "must_rest": True}
        assert judge([structure], counting.targets, **asked)["at_rest"].all()


def test_a_decoder_gives_no_weight_to_what_no_training_crystal_has(generator):
    soft = generator.vae.decode(torch.randn(4, module.LATENT), torch.zeros(4, 2))
    weights = soft.logits.softmax(2)
    allowed = torch.zeros(98, dtype=torch.bool)
    allowed[[z - 1 for z in A]] = True
    assert (weights[:, 0, ~allowed] == 0).all()
    assert (soft.shifts[:, 1] == 0).all()
