"""Labels as columns, and what confirms a design."""

import numpy as np
import pytest

from smoacs.checking import confirmable, dft_table
from smoacs.checking.truth import confirms
from smoacs.dft import DftLabel, DftValues
from smoacs.targets import Target


def labelled(gap):
    values = DftValues(
        band_gap=gap,
        band_gap_direct=gap + 0.1,
        energy_per_atom=-3.0,
        pressure=1.5,
        stress=None,
        forces=((0.0, 0.0, 0.0),),
        max_force=0.02,
        magnetic_moment=0.0,
        spin_polarized=False,
        hubbard_u={},
        cutoff=500.0,
        kpoints=(4, 4, 4),
        iterations=9,
        engine="fake 1",
    )
    return DftLabel(key="k", settings="s", results=values)


FAILED = DftLabel(key="k", settings="s", results=None, failure="not self-consistent")


def test_columns_and_confirmation():
    table = dft_table(
        [labelled(2.9), labelled(3.1), FAILED], [Target.parse("band_gap = 2.5 ± 0.2")]
    )
    assert table["confirmed"].tolist() == [True, False, False]
    assert table["dft_status"].tolist() == ["ok", "ok", "not self-consistent"]
    np.testing.assert_allclose(table["dft_band_gap"], [2.9, 3.1, np.nan])
    np.testing.assert_allclose(table["dft_pressure"], [1.5, 1.5, np.nan])
    assert table["dft_engine"].tolist() == ["fake 1", "fake 1", ""]


@pytest.mark.parametrize(
    ("text", "gap", "tolerance", "expected"),
    [
        ("band_gap = 2.5 ± 0.2", 2.0, 0.5, True),
        ("band_gap = 2.5 ± 0.2", 1.99, 0.5, False),
        ("band_gap = 2.5 ± 0.2", 2.9, 0.3, False),
        ("band_gap > 3", 2.6, 0.5, True),
        ("band_gap > 3", 2.4, 0.5, False),
        ("band_gap > 3", 9.0, 0.5, True),
        ("band_gap < 1", 1.4, 0.5, True),
        ("band_gap = 2.5 ± 0.2", float("nan"), 0.5, False),
    ],
)
def test_within_the_tolerance_of_the_target(text, gap, tolerance, expected):
    assert confirms(np.array([gap]), Target.parse(text), tolerance)[0] == expected


def test_without_a_target_for_the_gap_nothing_is_confirmed():
    targets = [Target.parse("formation_energy < -1"), Target.parse("maximize band_gap")]
    assert confirmable(targets) == []
    assert "confirmed" not in dft_table([labelled(2.0)], targets)
    assert dft_table([], targets).empty
