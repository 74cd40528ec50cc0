import numpy as np
import pytest
import torch

from smoacs.training.data import build_dataset, make_batch
from smoacs.training.data.sampling import epoch_batches, make_pools
from smoacs.training.fitting.loss import LOSS_TERMS, LossTerm, loss_of


@pytest.fixture
def batch_of(rows):
    """A batch of relaxed crystals with the labels given, one row for each."""

    def build(labels, *, kinds="relaxed"):
        labels = np.array(labels)
        table = rows.iloc[: len(labels)].assign(kind=kinds)
        table = table.assign(**{f"p{k}": labels[:, k] for k in range(labels.shape[1])})
        names = tuple(f"p{k}" for k in range(labels.shape[1]))
        return make_batch(build_dataset(table, names, 4.0), np.arange(len(labels)), 4.0)

    return build


def test_labels_that_are_met_or_missing_cost_nothing(batch_of):
    batch = batch_of([[1.0, np.nan], [2.0, 0.5]])
    terms = [LossTerm(scale=1.0), LossTerm(scale=1.0)]
    exact = torch.tensor([[1.0, 77.0], [2.0, 0.5]])
    assert loss_of(exact, batch, terms) == 0
    off_by_one = exact + torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    loss = float(loss_of(off_by_one, batch, terms))
    assert loss == pytest.approx(0.95 / 2)  # Huber's, over two crystals
    wide = [LossTerm(scale=1.0), LossTerm(scale=0.5, weight=3.0)]
    assert float(loss_of(off_by_one, batch, wide)) == pytest.approx(3 * 1.95 / 2)


def test_metals_may_be_predicted_below_zero(batch_of):
    batch = batch_of([[0.0], [0.0], [1.0]])
    terms = [LossTerm(scale=1.0, censored=True)]
    assert loss_of(torch.tensor([[-3.0], [0.0], [1.0]]), batch, terms) == 0
    assert loss_of(torch.tensor([[0.5], [0.0], [1.0]]), batch, terms) > 0
    assert loss_of(torch.tensor([[0.0], [0.0], [0.5]]), batch, terms) > 0


def test_labels_off_equilibrium_count_less(batch_of):
    terms = [LossTerm(scale=1.0, off_equilibrium=0.25)]
    prediction = torch.tensor([[2.0], [1.0]])
    relaxed = loss_of(prediction, batch_of([[1.0], [1.0]]), terms)
    strained = loss_of(prediction, batch_of([[1.0], [1.0]], kinds=["strained", "relaxed"]), terms)
    assert float(strained) == pytest.approx(0.25 * float(relaxed))


def test_logarithms_compare_ratios(batch_of):
    batch = batch_of([[10.0], [1000.0]])
    terms = [LossTerm(scale=1.0, log10=True)]
    assert loss_of(torch.tensor([[1.0], [3.0]]), batch, terms) == 0
    twice = torch.log10(torch.tensor(2.0))
    small = loss_of(torch.tensor([[1.0], [3.0]]) + torch.tensor([[twice], [0]]), batch, terms)
    large = loss_of(torch.tensor([[1.0], [3.0]]) + torch.tensor([[0], [twice]]), batch, terms)
    assert float(small) == pytest.approx(float(large), rel=1e-5)


def test_epoch_holds_relaxed_crystals_once_and_others_in_their_share(rows, properties):
    data = build_dataset(rows, properties, 4.0)
    pools = make_pools(data, 10, 0.3, ())
    batches = list(epoch_batches(pools, np.random.default_rng(0)))
    assert len(batches) == pools.n_batches == 3
    chosen = np.concatenate(batches)
    relaxed = chosen[~data.off_equilibrium[chosen]]
    assert sorted(relaxed) == np.flatnonzero(~data.off_equilibrium).tolist()
    assert [data.off_equilibrium[batch].sum() for batch in batches] == [3, 3, 3]


def test_a_table_with_a_share_is_drawn_from_in_it_relaxed_or_not(rows, properties):
    tables = rows.assign(source=[k // 10 for k in range(30)])
    data = build_dataset(tables, properties, 4.0)
    pools = make_pools(data, 10, 0.3, (), source_shares=(0.0, 0.0, 0.2))
    batches = list(epoch_batches(pools, np.random.default_rng(0)))
    ours = np.arange(30) >= 20
    for batch in batches:
        assert ours[batch].sum() == 2
        assert (data.off_equilibrium[batch] & ~ours[batch]).sum() == 3
    once = np.concatenate(batches)
    relaxed = once[~data.off_equilibrium[once] & ~ours[once]]
    assert sorted(relaxed) == np.flatnonzero(~data.off_equilibrium & ~ours).tolist()


def test_a_gap_counts_in_full_whatever_the_crystal(rows, properties):
    """Only energies count less where a crystal is not at rest."""
    terms = [LOSS_TERMS[name] for name in properties]
    gap = properties.index("band_gap")
    at_rest = build_dataset(rows.assign(kind="relaxed"), properties, 4.0)
    strained = build_dataset(rows.assign(kind="strained"), properties, 4.0)
    index = np.arange(8)
    losses = []
    for data in (at_rest, strained):
        batch = make_batch(data, index, 4.0)
        prediction = batch.labels.clone()
        prediction[:, gap] += 1.0
        losses.append(float(loss_of(prediction, batch, terms)))
    assert losses[0] == pytest.approx(losses[1])


def test_batch_larger_than_the_data_is_one_batch(rows, properties):
    data = build_dataset(rows, properties, 4.0)
    pools = make_pools(data, 500, 0.0, ())
    (batch,) = epoch_batches(pools, np.random.default_rng(0))
    assert len(batch) == 20
