"""One schema of columns: what the package writes is in it, and the documents list it."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.checking import chemistry_table, dft_table
from smoacs.checking.phonons import PhononSettings
from smoacs.checking.potentials import RelaxSettings
from smoacs.checking.rattled import MAX_ANGLE_CHANGE, MAX_VOLUME_CHANGE, RattleSettings
from smoacs.checking.survival import MAX_LENGTH_CHANGE
from smoacs.judging import RuleCheck, Rules, judge
from smoacs.predictors import CombinedPredictor, load_predictor, property_scales
from smoacs.results import (
    COLUMNS,
    Kind,
    column,
    criteria,
    described,
    saved_columns,
    summary_columns,
)
from smoacs.results.column import Group, Source
from smoacs.targets import Target
from smoacs.templates import build_template

ROOT = Path(__file__).parents[2]
TYPES = {"text": "text", "number": "number", "integer": "whole number", "flag": "True or False"}


@pytest.fixture(scope="module")
def judged():
    salt = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr2+", "Ti4+", "O2-"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]]
    )
    targets = [Target.parse("maximize band_gap"), Target.parse("minimize formation_energy")]
    template = build_template("perovskite")
    rules = RuleCheck(Rules.from_settings({"lattice": {"a": (3.0, 5.0)}}), template)
    table = judge(
        [salt],
        targets,
        predictor=load_predictor(device="cpu"),
        template=template,
        known_formulas=lambda formula: formula == "NaCl",
        must_rest=True,
        rules=rules,
    )
    return salt, table


def test_every_column_of_the_judge_is_known_and_holds_what_it_says(judged):
    _, table = judged
    for name in table:
        known = column(name)
        assert known.meaning, name
        assert known.source == "design", name
        kind = {"b": "flag", "i": "integer", "f": "number", "O": "text"}[table[name].dtype.kind]
        assert known.kind == kind, name
    assert [name for name in table if column(name).kind == "flag"] == [
        *("success", "band_gap_met", "formation_energy_met", "neutral", "template_kept"),
        *("at_rest", "rules", "unique", "in_domain", "novel", "new_structure"),
    ]
    assert criteria(table) == [
        *("band_gap_met", "formation_energy_met", "neutral", "template_kept", "at_rest", "rules")
    ]


def test_every_column_of_the_checks_is_known(judged):
    salt, _ = judged
    for source, table in (
        ("chemistry", chemistry_table([salt])),
        ("dft", dft_table([], [Target.parse("band_gap > 1")])),
    ):
        assert {column(name).source for name in table} == {source}
        listed = [item.name for item in COLUMNS if item.source == source]
        assert list(table) == listed


def test_no_column_is_listed_twice():
    names = [item.name for item in COLUMNS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "unit", "label", "kind"),
    [
        ("formation_energy", "eV/atom", "formation energy", "number"),
        ("relaxed_formation_energy", "eV/atom", "relaxed formation energy", "number"),
        ("rattled_band_gap", "eV", "rattled band gap", "number"),
        ("band_gap.std", "eV", "band gap std", "number"),
        ("band_gap_met", "", "band gap", "flag"),
        ("my_score_met", "", "my score", "flag"),
        ("dft_band_gap_std", "eV", "dft band gap std", None),
        ("density", "g/cm³", "density", "number"),
        ("volume_per_atom", "Å³", "volume per atom", "number"),
        ("tolerance_factor", "", "tolerance factor", "number"),
        ("alpha", "°", "α", "number"),
        ("my_alpha", "", "my alpha", None),
        ("relaxed_space_group", "", "relaxed space group", "text"),
    ],
)
def test_columns_by_their_name(name, unit, label, kind):
    known = column(name)
    assert (known.name, known.unit, known.label.strip(), known.kind) == (name, unit, label, kind)


def test_scales_go_from_the_predictor_to_the_summary_and_back():
    predictor = load_predictor(device="cpu")
    scales = property_scales(predictor)
    assert scales["band_gap"].startswith("PBE")
    assert "density" not in scales
    names = ["band_gap", "band_gap.std", "band_gap_met", "density", "formula", "mean_mass"]
    units = {**predictor.properties, "mean_mass": "u"}
    columns = described(names, units, scales)
    assert [c.scale for c in columns] == [scales["band_gap"]] * 2 + [""] * 4
    assert [c.unit for c in columns] == ["eV", "eV", "", "g/cm³", "", "u"]
    saved = saved_columns({"columns": summary_columns(columns)}, [*names, "relaxed_band_gap"])
    assert {name: saved[name].scale for name in names} == {c.name: c.scale for c in columns}
    assert saved["relaxed_band_gap"].scale == scales["band_gap"]
    assert saved["mean_mass"].unit == "u"
    assert saved_columns({}, ["band_gap"])["band_gap"] == column("band_gap")


def test_a_combined_predictor_has_the_scale_of_the_part_that_gives_the_value():
    class Part:
        cutoff = 0.0
        elements = frozenset({"H"})

        def __init__(self, scale):
            self.properties = {"x": "1"}
            self.scales = {"x": scale} if scale else {}

        def __call__(self, crystals, neighbors):
            raise NotImplementedError

    assert property_scales(CombinedPredictor([Part("first"), Part("second")])) == {"x": "first"}
    assert property_scales(CombinedPredictor([Part(""), Part("second")])) == {}


def listed_in(page):
    """Rows of the tables of columns in a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    tables = re.findall(r"\| column \| unit \| type \| meaning \|\n\| -.*\n((?:\|.*\n)+)", text)
    return [line for table in tables for line in table.splitlines()]


def rows_of(*sources):
    return [
        f"| `{c.name}` | {c.unit} | {TYPES[c.kind]} | {c.meaning} |"
        for c in COLUMNS
        if c.source in sources
    ]


@pytest.mark.parametrize(
    ("page", "sources"),
    [
        ("results.md", ("design",)),
        ("checks.md", ("relaxation", "rattled", "chemistry", "novelty", "phonons", "dft")),
    ],
)
def test_the_documents_list_the_columns(page, sources):
    expected = rows_of(*sources)
    assert listed_in(page) == expected, "right would be:\n" + "\n".join(expected)


def test_numbers_of_the_meanings_are_those_of_the_checks():
    assert f"above {PhononSettings().threshold} THz" in column("dynamically_stable").meaning
    rattle = RattleSettings()
    assert str(rattle.relaxation.max_steps) in column("rattled_steps").meaning
    assert f"{rattle.relaxation.fmax:g} eV/Å" in column("rattled_converged").meaning
    assert f"{rattle.gap_tolerance} eV" in column("keeps_targets").meaning
    lattice = column("keeps_lattice").meaning
    assert f"lengths within {100 * MAX_LENGTH_CHANGE:g} %" in lattice
    assert f"volume within {100 * MAX_VOLUME_CHANGE:g} %" in lattice
    assert f"angles within {MAX_ANGLE_CHANGE:g}°" in lattice
    assert str(RelaxSettings().max_steps) in column("relaxed_steps").meaning
    assert f"{RelaxSettings().fmax:g} eV/Å" in column("relaxed_converged").meaning


def test_the_list_holds_what_its_types_allow():
    for item in COLUMNS:
        assert item.kind in get_args(Kind)
        assert item.source in {*get_args(Source), None}
        assert item.group in get_args(Group)
        assert not item.criterion or item.kind == "flag"
        assert not item.counted or item.kind == "flag"
