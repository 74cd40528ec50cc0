"""What all tests share: shape checks at run time, one thread, fixed seeds, the shared data."""

from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Before any import of these modules: their annotations, jaxtyping shapes among them, are checked at
# every call. A module that joins must not hide the imports of its annotations in TYPE_CHECKING.
install_import_hook(["smoacs.crystals", "smoacs.predictors", "smoacs.targets"], "typechecker.check")

hypothesis.settings.register_profile("smoacs", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("smoacs")
torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _seeds():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - third-party code may draw from the global state


@pytest.fixture(scope="session")
def shared_data():
    """Folder with the training data, which is no part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the training data is not beside this checkout, at ../shared/data")
    return SHARED_DATA
