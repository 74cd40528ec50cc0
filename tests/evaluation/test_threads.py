import threading

import pytest
import torch

from smoacs.crystals.crystals import chunk_systems
from smoacs.evaluation import evaluate, evaluate_residuals, threads
from smoacs.evaluation.threads import Workers, atoms_per_chunk, single_thread
from smoacs.testing import default_crystals


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Witness:
    """Remembers how many threads torch had when it was asked."""

    properties = {"formation_energy": "eV/atom"}  # noqa: RUF012
    cutoff = 0.0
    elements = frozenset({"Na", "Cl"})

    def __init__(self):
        self.threads = set()

    def __call__(self, crystals, neighbors):
        del neighbors
        self.threads.add(torch.get_num_threads())
        return {"formation_energy": crystals.volume * crystals.frac_coords.sum()}


@pytest.mark.parametrize("work", [evaluate, evaluate_residuals])
def test_evaluation_uses_one_thread_and_gives_the_others_back(work, two_threads):
    witness = Witness()
    work(witness, default_crystals(witness.elements))
    assert witness.threads == {1}
    assert torch.get_num_threads() == 2


def test_threads_come_back_after_an_error(two_threads):
    with pytest.raises(RuntimeError, match="broken"), single_thread():
        raise RuntimeError("broken")
    assert torch.get_num_threads() == 2


def test_workers_keep_order_and_have_one_thread_each(two_threads):
    with Workers() as workers:
        found = workers.map(lambda number: (number, torch.get_num_threads()), range(20))
    assert found == [(number, 1) for number in range(20)]
    assert torch.get_num_threads() == 2


def test_a_single_item_stays_in_this_thread(two_threads):
    with Workers() as workers:
        found = workers.map(lambda _: (threading.get_ident(), torch.get_num_threads()), iter("a"))
        assert workers.map(str, []) == []
    assert found == [(threading.get_ident(), 1)]


@pytest.mark.parametrize(
    ("cores", "atoms", "expected"),
    [
        (2, 1280, [320] * 4),
        (2, 700, [175] * 4),  # not 320, 320 and 60, where one core waits for the other
        (2, 250, [125, 125]),
        (2, 150, [150]),
        (6, 1280, [215] * 4 + [210] * 2),
        (16, 1280, [80] * 16),
        (1, 20, [20]),
    ],
)
def test_chunks_leave_no_core_without_work(monkeypatch, cores, atoms, expected):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    counts = torch.full((atoms // 5,), 5)
    chunks = chunk_systems(counts, atoms_per_chunk(counts))
    assert [int(counts[chunk].sum()) for chunk in chunks] == expected


def test_nothing_is_no_chunk_of_no_size(monkeypatch):
    assert atoms_per_chunk(torch.zeros(0, dtype=torch.long)) == 1
