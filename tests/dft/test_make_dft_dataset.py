"""The generator of the DFT dataset: what it draws, how it goes on, and what it publishes."""

import argparse
import dataclasses
import itertools
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Structure

from runs.conftest import SITES, config, result, structures, table  # noqa: F401 - fixtures
from smoacs.dft import DftLabel, DftSettings, DftValues, plan_calculation
from smoacs.dft.labels import open_labels
from smoacs.errors import InputError
from smoacs.runs import read_run, save_run
from smoacs.targets import Target
from smoacs.training.config import TrainConfig
from smoacs.training.data import build_dataset
from smoacs.training.displaced.crystals import row_structure
from smoacs.training.layout import check_crystals
from smoacs.training.sources import read_source

SCRIPTS = Path(__file__).parents[2] / "scripts"
MODULES = ("make_dft_dataset", "dft_designs", "dft_export", "dft_recipes", "rest_lengths")


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import make_dft_dataset  # noqa: PLC0415 - found there only

        yield make_dft_dataset
    finally:
        sys.path.remove(str(SCRIPTS))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def drawn(script):
    recipes = list(itertools.islice(script.recipes(0), 300))
    return recipes, [script.realise(recipe, rest, 0) for recipe in recipes]


def rest(species, radii, *, boxed):
    return [4.0, 4.1, 4.2] if boxed else [4.1] * 3


def test_the_same_seed_draws_the_same_crystals(script, drawn):
    again = list(itertools.islice(script.recipes(0), 20))
    assert again == drawn[0][:20]
    assert again != list(itertools.islice(script.recipes(1), 20))


def test_crystals_are_neutral_and_most_have_closed_shells(drawn):
    spins = 0
    for sample in drawn[1]:
        assert sample.structure.charge == 0
        calculation = plan_calculation(sample.structure, DftSettings())
        spins += calculation.spin_polarized
        assert not set(calculation.symbols) & {"Ce", "Nd", "Gd", "Eu"}
    assert 0.04 < spins / len(drawn[1]) < 0.18
    halides = Counter(recipe.combination for recipe in drawn[0])["A+1 B+2 X-1"]
    assert 0.45 < halides / len(drawn[0]) < 0.65


def test_geometries(drawn):
    kinds = Counter(recipe.kind for recipe in drawn[0])
    assert set(kinds) == {"cubic", "box", "strained", "shifted"}
    for recipe, sample in zip(*drawn, strict=True):
        lengths = np.array(sample.structure.lattice.abc)
        nearest = np.min(sample.structure.distance_matrix + 9.0 * np.eye(5))
        assert nearest > 1.5
        assert 0.97 <= recipe.scale <= 1.04
        if recipe.kind == "cubic":
            np.testing.assert_allclose(lengths, 4.1 * recipe.scale)
        elif recipe.kind == "strained":
            strain = lengths / recipe.scale / sample.about["rest_length"] - 1.0
            assert 0.0 < np.abs(strain).max() < 0.07
        b_x = np.array([sample.structure.get_distance(1, site) for site in (2, 3, 4)])
        if recipe.kind != "shifted":
            np.testing.assert_allclose(b_x, lengths / 2, err_msg="X are on bonds along a, b, c")
        else:
            assert 1e-4 < np.abs(b_x - lengths / 2).max() < 0.5


def test_a_box_keeps_axes_with_the_same_x_alike(script, tmp_path):
    lengths = script.RestLengths(tmp_path / "rest.jsonl")
    best = {"F": 3.9, "Cl": 4.7}

    def energies(species, boxes):
        along = np.array([best[x] for x in species[2:]])
        return ((np.asarray(boxes) - along) ** 2).sum(axis=1)

    lengths._energies = energies
    box = lengths(("K", "Mg", "F", "Cl", "Cl"), (1.6, 0.7, 1.3, 1.8, 1.8), boxed=True)
    assert box == pytest.approx([3.9, 4.7, 4.7], abs=0.02)
    assert box[1] == box[2]
    again = script.RestLengths(tmp_path / "rest.jsonl")
    assert again(("K", "Mg", "F", "Cl", "Cl"), (), boxed=True) == box, "it is kept"


def test_the_split_is_by_composition(script, drawn):
    from dft_export import split_by_hash, split_of  # noqa: PLC0415 - see `script`

    formulas = {sample.structure.composition.reduced_formula for sample in drawn[1]}
    assert all("+" not in formula for formula in formulas)
    parts = [split_by_hash(Composition(formula)) for formula in sorted(formulas)]
    assert 0.04 < parts.count("test") / len(parts) < 0.16
    assert 0.04 < parts.count("val") / len(parts) < 0.16
    sample = script.with_split(drawn[1][0], {drawn[1][0].structure.reduced_formula: "test"})
    assert split_of(sample) == "test", "withheld here as in the training data"


# --- a whole run, with a labeller that knows the gaps ---------------------------------------------


class Labeller:
    """A gap that is the lattice length; every seventh crystal fails, every ninth is squeezed."""

    def __init__(self):
        self.calculated = []

    def __call__(self, crystals, settings=None, *, cache, workers=1):
        assert workers == 1
        with open_labels(Path(cache)) as file:
            plans = [plan_calculation(structure, settings) for structure in crystals]
            for plan in plans:
                if plan.key not in file.records:
                    self.calculated.append(plan.key)
                    file.append(plan.key, self._label(plan, settings))
            return [file.records[plan.key] for plan in plans]

    def _label(self, plan, settings):
        failed = len(self.calculated) % 7 == 0
        pressure = 40.0 if len(self.calculated) % 9 == 0 else 2.0
        values = DftValues(
            band_gap=plan.lattice[0],
            band_gap_direct=plan.lattice[0] + 0.5,
            energy_per_atom=-5.0,
            pressure=pressure,
            stress=(-pressure, -pressure, -pressure, 0.0, 0.0, 0.0),
            forces=((0.0, 0.0, 0.25),) * 5,
            max_force=0.25,
            magnetic_moment=0.0,
            spin_polarized=plan.spin_polarized,
            hubbard_u=plan.hubbard_u,
            cutoff=plan.cutoff,
            kpoints=plan.kpoints,
            iterations=9,
            engine="toy 1",
        )
        return DftLabel(
            key=plan.key,
            settings=settings.key,
            results=None if failed else values,
            failure="not self-consistent after 150 iterations" if failed else "",
            seconds=10.0,
        )


@pytest.fixture(scope="module")
def made(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dft")
    numbers, sites = [38, 22, 8, 8, 8], [[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5]]
    row = {
        "material_id": "mp-5229",
        "formula": "SrTiO3",
        "n_atoms": 5,
        "numbers": numbers,
        "frac_coords": np.ravel([*sites, [0.5, 0.5, 0]]),
        "lattice": [3.9127] * 3 + [90.0] * 3,
        "split": "test",
        "band_gap": 1.77,
    }
    pd.DataFrame([row]).to_parquet(folder / "mp.parquet")
    args = argparse.Namespace(
        mp=folder / "mp.parquet", out=folder, workers=1, limit=12, minutes=5.0, seed=0
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(script, "RestLengths", lambda _: rest)
    patch.setattr(script, "metal_by_predictor", lambda: lambda recipe: "Te" in recipe.species)
    labeller = Labeller()
    script.make(args, labeller)
    first = list(labeller.calculated)
    args.limit = 40
    script.make(args, labeller)
    patch.undo()
    return folder, first, labeller


def test_a_run_goes_on_where_it_was(made):
    folder, first, labeller = made
    assert len(first) == 13, "one known crystal and twelve of the stream"
    assert len(labeller.calculated) == 41
    assert len(set(labeller.calculated)) == 41, "nothing is calculated twice"
    lines = [json.loads(line) for line in (folder / "drawn.jsonl").read_text().splitlines()]
    numbers = [line["number"] for line in lines]
    assert numbers == list(range(-1, numbers[-1] + 1)), "each recipe is looked at once"
    known = pd.read_csv(folder / "known.csv")
    assert known["gpaw_band_gap"].tolist() == [3.9127]


def test_what_a_kill_left_unfinished_is_cut_off(script, made, tmp_path):
    text = (made[0] / "drawn.jsonl").read_text()
    path = tmp_path / "drawn.jsonl"
    path.write_text(text + '{"number": 99, "sam')
    again = script.Drawn(path)
    assert path.read_text() == text
    for sample, line in zip(again.samples, text.splitlines(), strict=False):
        assert sample.material_id == json.loads(line)["sample"]["material_id"]
        break


def test_export(script, made, tmp_path):
    folder, _, _ = made
    out = tmp_path / "published"
    script.export(folder, out)
    rows = pd.read_parquet(out / "dft_perovskites.parquet")
    failures = pd.read_csv(out / "failures.csv")
    assert len(failures) == 5
    assert rows["dft_pressure"].abs().max() < 25
    assert len(rows) + len(failures) + 4 == 41, "four at 40 GPa that did not fail"
    check_crystals(rows, "the export")
    assert rows.set_index("material_id")["split"]["mp-5229"] == "test"
    assert set(rows["kind"]) <= {"known", "cubic", "box", "strained", "shifted"}
    assert rows["band_gap_scale"].unique().tolist() == ["PBE, toy 1"]
    for row in rows.itertuples():
        assert row.stress.reshape(3, 3) == pytest.approx(-2.0 * np.eye(3))
        assert row.forces.reshape(5, 3) == pytest.approx(np.tile([0, 0, 0.25], (5, 1)), abs=1e-6)
        assert row_structure(row).lattice.a == pytest.approx(row.band_gap, abs=1e-3)
    text = (out / "README.md").read_text()
    assert "PBE, toy 1" in text
    assert f"{len(rows)} cells of five atoms" in text
    assert "not self-consistent after … iterations: 5" in text
    assert "of either sign: 4." in text
    assert "median 0.022 eV" in text
    assert "BaSnO3 (mp-3163) | 0.37 | 0.76 | +0.39" in text
    assert "not looked into" not in text, "each outlier has a reason, or says that it has none"
    for column in rows:
        assert f"| `{column}` |" in text


def test_the_export_can_be_trained_on(script, made, tmp_path):
    out = tmp_path / "published"
    script.export(made[0], out)
    settings = TrainConfig(
        name="x",
        out=tmp_path / "x.safetensors",
        data=(str(out / "dft_perovskites.parquet"),),
        properties=("formation_energy", "band_gap"),
        epochs=1,
    )
    rows = read_source(settings.data[0], settings)
    data = build_dataset(rows, settings.properties, 4.0)
    assert data.off_equilibrium.all()
    assert data.has_derivatives.all()
    assert np.isfinite(data.labels[:, 1]).all()
    assert np.isnan(data.labels[:, 0]).all()


@pytest.fixture
def checked_run(result, table, tmp_path):  # noqa: F811
    """A run of five perovskites, one of them KMgF3 at 4 Å, that has a label."""
    result.structures[1] = Structure(Lattice.cubic(4.0), ("K+", "Mg2+", "F-", "F-", "F-"), SITES)
    wanted = result.config.model_copy(update={"targets": (Target.parse("band_gap = 7.0 ± 0.2"),)})
    asked = dataclasses.replace(result, config=wanted)
    run = save_run(asked, table, tmp_path / "run", force=False)
    (run / "checks").mkdir()
    return run


def test_labelled_designs_join_the_dataset(script, made, checked_run, tmp_path):
    design = next(s for s in read_run(checked_run).structures.values() if s.lattice.a == 4.0)
    Labeller()([design], DftSettings(), cache=checked_run / "checks/dft_gpaw.jsonl")
    folder = tmp_path / "dft"
    shutil.copytree(made[0], folder)
    args = argparse.Namespace(mp=folder / "mp.parquet", out=folder, designs=[checked_run])
    script.add_designs(args)
    script.add_designs(args)
    script.export(folder, tmp_path / "published")
    rows = pd.read_parquet(tmp_path / "published/dft_perovskites.parquet")
    (row,) = rows[rows["kind"] == "designed"].itertuples()
    assert (row.formula, row.combination) == ("KMgF3", "A+1 B+2 X-1")
    assert row.material_id.startswith("design-")
    assert row.band_gap == pytest.approx(4.0)
    assert np.isnan(row.scale)
    drawn = script.Drawn(folder / "drawn.jsonl")
    assert len(drawn.samples) == 42, "a second time adds nothing"
    assert drawn.last == script.Drawn(made[0] / "drawn.jsonl").last, "the stream goes on as before"


def test_designs_without_labels_are_refused(script, made, checked_run, tmp_path):
    args = argparse.Namespace(mp=made[0] / "mp.parquet", out=made[0], designs=[checked_run])
    with pytest.raises(InputError, match="holds no perovskite that `smoacs check --dft gpaw`"):
        script.add_designs(args)
    text = (checked_run / "config.toml").read_text()
    (checked_run / "config.toml").write_text(text.replace('"perovskite"', '"rutile"'))
    with pytest.raises(InputError, match="is no run of perovskites of 5 atoms"):
        script.add_designs(args)
    args.out = tmp_path
    with pytest.raises(SystemExit, match="holds no dataset yet"):
        script.add_designs(args)


def test_nothing_to_export(script, tmp_path):
    (tmp_path / "drawn.jsonl").touch()
    with pytest.raises(InputError, match="holds no labels yet"):
        script.export(tmp_path, tmp_path / "out")


def test_known_crystals_are_found_whatever_their_origin(script, tmp_path):
    sites = np.array([[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    structure = Structure(Lattice.cubic(4.1), ["K", "Mg", "F", "F", "F"], sites + 0.25)
    row = {
        "material_id": "mp-1",
        "n_atoms": 5,
        "numbers": [site.specie.Z for site in structure][::-1],
        "frac_coords": structure.frac_coords[::-1].ravel(),
        "lattice": list(structure.lattice.parameters),
        "band_gap": 5.0,
    }
    pd.DataFrame([row]).to_parquet(tmp_path / "mp.parquet")
    (found,) = script.known_perovskites(tmp_path / "mp.parquet", 5, np.random.default_rng(0))
    assert [site.specie.symbol for site in found.structure] == ["K", "Mg", "F", "F", "F"]
    assert found.about["mp_band_gap"] == 5.0
