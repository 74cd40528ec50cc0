import dataclasses

import pytest

from smoacs.dft import DftSettings
from smoacs.errors import InputError


def test_the_key_is_stable_and_depends_on_physics_only():
    key = DftSettings().key
    assert key == DftSettings(time_limit=1.0, memory_limit=1.0).key
    physics = {
        "functional": "PBEsol",
        "cutoff": 400.0,
        "hard_cutoff": 900.0,
        "kpoint_density": 20.0,
        "smearing": 0.1,
        "spin": "off",
        "hubbard_u": "none",
        "max_iterations": 10,
    }
    keys = {dataclasses.replace(DftSettings(), **{k: v}).key for k, v in physics.items()}
    assert len(keys | {key}) == len(physics) + 1
    fields = {field.name for field in dataclasses.fields(DftSettings)}
    assert fields == set(physics) | {"time_limit", "memory_limit"}


def test_mistakes_are_named():
    with pytest.raises(InputError, match="cutoff is -1"):
        DftSettings(cutoff=-1)
    with pytest.raises(InputError, match="functional is 'B3LYP'; it is one of 'PBE', 'PBEsol'"):
        DftSettings(functional="B3LYP")
