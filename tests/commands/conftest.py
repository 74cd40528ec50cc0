"""Run directories made by hand; the parts are those of tests/runs."""

import pytest

from runs.conftest import config, result, structures, table  # noqa: F401 - fixtures
from smoacs.runs import save_run


@pytest.fixture
def folder(result, table, tmp_path):  # noqa: F811
    return save_run(result, table, tmp_path / "run", force=False)


@pytest.fixture
def failed(result, table, tmp_path):  # noqa: F811
    none = table.assign(success=False, unique=False)
    return save_run(result, none, tmp_path / "failed", force=False)
