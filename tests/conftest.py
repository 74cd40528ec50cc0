"""What all tests share: shape checks at run time, one thread, fixed seeds, the shared data."""

import re
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Before any import of these modules: their annotations, jaxtyping shapes among them, are checked at
# every call. A module that joins must not hide the imports of its annotations in TYPE_CHECKING.
install_import_hook(
    [
        f"smoacs.{room}"
        for room in ("crystals", "predictors", "targets", "evaluation", "relaxation")
    ],
    "typechecker.check",
)

hypothesis.settings.register_profile("smoacs", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("smoacs")
torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser):
    parser.addoption(
        "--only-skips",
        metavar="FILE",
        help="fail if a test is skipped for a reason that no line of FILE, a pattern each, matches",
    )
    parser.addoption("--checkpoints", type=int, default=2, help="of each search to resume from")


def pytest_sessionfinish(session, exitstatus):
    """A test that was to run and did not is no success."""
    file = session.config.getoption("only_skips")
    if file is None or exitstatus:
        return
    lines = Path(file).read_text("utf-8").splitlines()
    allowed = [line for line in lines if line and not line.startswith("#")]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = {
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in reporter.stats.get("skipped", [])
    }
    unexpected = [r for r in sorted(reasons) if not any(re.search(a, r) for a in allowed)]
    for reason in unexpected:
        reporter.write_line(f"skipped for a reason that is not in {file}: {reason}", red=True)
    if unexpected:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
