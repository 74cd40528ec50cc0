from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from smoacs.chemistry import ELEMENTS, element_index
from smoacs.errors import InputError
from smoacs.templates import perovskite


@pytest.fixture
def template():
    return perovskite()


def elements_at(template, k, site):
    return {ELEMENTS[e] for e in np.flatnonzero(template.allowed[k, site])}


def test_arrays_are_copied_and_read_only(template):
    lengths = np.full(3, 4.0)
    changed = replace(template, lengths=lengths)
    lengths[0] = 5.0
    assert changed.lengths[0] == 4.0
    for name in ("lengths", "allowed", "radii", "coord_box"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(changed, name)[0] = 0
    with pytest.raises(FrozenInstanceError):
        template.name = "other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": np.ones(2)}, r"lengths .* has shape \(2,\), not \(3,\)"),
        ({"roles": np.zeros(4)}, r"roles .* has shape \(4,\), not \(5,\)"),
        ({"allowed": np.ones((4, 5, 94), bool)}, r"allowed .* not \(4, 5, 98\)"),
        ({"site_labels": ()}, "0 sites"),
        ({"lengths": np.zeros(3)}, "lengths must be positive"),
        ({"lengths": np.full(3, np.nan)}, "lengths must be positive"),
        ({"angles": np.full(3, 120.0)}, "span a volume"),
        ({"angles": np.array([30.0, 30.0, 90.0])}, "span a volume"),
        ({"frac_coords": np.full((5, 3), 1.0)}, r"must lie in \[0, 1\)"),
        ({"combinations": np.ones((4, 5))}, "add up to 0"),
        ({"allowed": np.zeros((4, 5, 98))}, "every site needs an allowed element"),
        ({"radii": np.zeros((4, 5, 98))}, "need a positive radius of every"),
        ({"radii": None}, "sites with roles need a positive radius"),
        ({"coord_box": np.full((5, 3), -1.0)}, "must not be negative"),
        ({"length_bounds": np.array([[2.0] * 3, [1.0] * 3])}, "length bounds"),
        ({"angle_bounds": np.array([[90.0] * 3, [80.0] * 3])}, "angle bounds"),
    ],
)
def test_inconsistent_templates_are_refused(template, change, message):
    with pytest.raises(InputError, match=message):
        replace(template, **change)


def test_charges_do_not_overflow_when_added_up():
    big = perovskite(4)
    assert big.combinations.dtype == np.int8
    assert (big.combinations.sum(axis=1, dtype=int) == 0).all()


def test_nothing_above_radon_unless_asked_for(template):
    thorium = element_index("Th")
    heavy = perovskite(table={"Sr": (2,), "Th": (4,), "Ti": (4,), "O": (-2,)})
    assert heavy.allowed[..., thorium].any()
    assert not heavy.with_elements().allowed[..., thorium].any()
    assert heavy.with_elements(max_z=98).allowed[..., thorium].any()
    assert heavy.with_elements(allowed={"Sr", "Th", "O"}).allowed[..., thorium].any()


def test_allowed_and_forbidden_elements(template):
    some = template.with_elements(allowed={"Sr", "Ca", "Ti", "Zr", "O", "S"}, forbidden={"S", "Ca"})
    assert some.combination_names == ("A+2 B+4 X-2",)
    assert elements_at(some, 0, 0) == {"Sr"}
    assert elements_at(some, 0, 1) == {"Ti", "Zr"}
    assert elements_at(some, 0, 4) == {"O"}
    assert ((some.radii > 0) == some.allowed).all()
    assert template.n_combinations == 4


def test_combinations_with_an_empty_site_are_dropped(template):
    halides = template.with_elements(forbidden={"O", "S", "Se", "Te"})
    assert halides.combination_names == ("A+1 B+2 X-1",)
    assert (halides.combinations == [[1, 2, -1, -1, -1]]).all()


def test_restrictions_add_up(template):
    once = template.with_elements(forbidden={"F", "Pb"})
    twice = template.with_elements(forbidden={"F"}).with_elements(forbidden={"Pb"})
    assert (once.allowed == twice.allowed).all()


def test_error_names_the_site_and_what_forbids_it(template):
    halides = template.with_elements(forbidden={"O", "S", "Se", "Te"})
    with pytest.raises(
        InputError,
        match=r"site X-1 \(one of F Cl Br I\) of template 'perovskite': "
        r"forbidden = Br Cl F I leaves none$",
    ):
        halides.with_elements(forbidden={"F", "Cl", "Br", "I"})
    with pytest.raises(InputError, match="allowed = none leaves none"):
        template.with_elements(allowed=set())


def test_unknown_element(template):
    with pytest.raises(InputError, match="did you mean 'Ti'"):
        template.with_elements(allowed={"ti"})


def test_to_structure(template):
    structure = template.to_structure(["Sr2+", "Ti4+", "O2-", "O2-", "O2-"])
    assert structure.reduced_formula == "SrTiO3"
    assert structure.lattice.abc == pytest.approx((3.905,) * 3)
    assert structure.charge == 0
    assert [site.specie.symbol for site in template.to_structure()] == ["Li", "Be", "F", "F", "F"]
    with pytest.raises(InputError, match="has 5 sites, not 2"):
        template.to_structure(["Sr", "Ti"])
