"""The table of properties and the physical limits."""

import numpy as np

from smoacs.predictors.properties import PROPERTIES, physical, property_scale


def test_the_contract_names_are_there():
    units = {name: info.unit for name, info in PROPERTIES.items()}
    assert units == {
        "band_gap": "eV",
        "formation_energy": "eV/atom",
        "energy": "eV/atom",
        "energy_above_hull": "eV/atom",
        "tolerance_factor": "1",
        "density": "g/cm^3",
        "volume_per_atom": "Å^3",
        "bulk_modulus": "GPa",
        "shear_modulus": "GPa",
        "critical_temperature": "K",
    }
    assert all(info.scale > 0 and info.label for info in PROPERTIES.values())


def test_physical_lifts_to_the_minimum_and_keeps_nan():
    raw = np.array([-0.1, 0.0, 2.5, np.nan])
    np.testing.assert_array_equal(physical("band_gap", raw), np.array([0.0, 0.0, 2.5, np.nan]))
    np.testing.assert_array_equal(physical("formation_energy", raw), raw)
    np.testing.assert_array_equal(physical("my_own", raw), raw)


def test_scale_of_an_unknown_property_is_one():
    assert property_scale("my_own") == 1
    assert property_scale("energy_above_hull") == 0.1
