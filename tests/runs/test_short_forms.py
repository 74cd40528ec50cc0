import pytest

from smoacs.runs import DesignRun, read_run, save_run


@pytest.fixture
def run(result, table):
    return DesignRun(result, table)


def test_a_run_is_one_line(run, tmp_path):
    assert repr(run) == "<DesignRun: 2 of 5 candidates succeed, 1 distinct formulas>"
    folder = save_run(run.result, run.table, tmp_path / "run", force=False)
    saved = repr(read_run(folder))
    assert saved == f"<SavedRun in {folder}: 2 of 5 candidates succeed, 1 distinct formulas>"


def test_a_notebook_shows_a_table_with_what_was_asked_for(run, tmp_path):
    folder = save_run(run.result, run.table, tmp_path / "run", force=False)
    for shown in (run._repr_html_(), read_run(folder)._repr_html_()):
        assert shown.startswith("<p>")
        assert "2 of 5 candidates succeed" in shown
        assert shown.index("KMgF3") < shown.index("SrTiO3")  # successes first
        assert "<th>band_gap</th>" in shown
        assert "<th>formation_energy</th>" in shown
        assert "oxidation_states" not in shown


def test_formulas_are_no_markup(run):
    table = run.table.assign(formula="<script>alert(1)</script>")
    assert "<script>" not in DesignRun(run.result, table)._repr_html_()
