"""A batch that does not fit into memory is evaluated in smaller parts."""

import pytest
import torch

from smoacs.errors import ResourceError, is_out_of_memory
from smoacs.request import DesignConfig
from smoacs.search import run_search
from toys import Bowl

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
]
CONFIG = DesignConfig(targets=("toy < 0.3",), n=11, steps=12, device="cpu")


class Small(Bowl):
    """Holds a few crystals at a time."""

    def __init__(self, most, error=ERRORS[0]):
        super().__init__()
        self.most = most
        self.error = error
        self.refused = 0

    def __call__(self, crystals, neighbors):
        if crystals.n_systems > self.most:
            self.refused += 1
            raise self.error
        return super().__call__(crystals, neighbors)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_batch_is_halved_until_it_fits(error, caplog):
    assert is_out_of_memory(error)
    predictor = Small(2, error)
    result = run_search(CONFIG, predictor=predictor)
    whole = run_search(CONFIG, predictor=Bowl())
    assert result.structures == whole.structures
    assert result.predictor_calls == whole.predictor_calls
    assert 1 <= predictor.refused <= 8  # found out once, not at every step
    assert [record.message for record in caplog.records] == [
        "out of memory: going on with fewer candidates at a time"
    ]


def test_one_candidate_that_does_not_fit_is_an_error():
    with pytest.raises(ResourceError, match="one candidate at a time"):
        run_search(CONFIG, predictor=Small(0))


def test_other_errors_are_not_hidden():
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        run_search(CONFIG, predictor=Small(0, RuntimeError("shapes do not match")))
