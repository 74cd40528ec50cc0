"""The labels of `make_dft_dataset.py` as one table in the training layout, with a data card."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
from dft_recipes import METALS_NOTE, Sample
from pymatgen.core import Composition

from smoacs.dft import DftLabel, DftSettings, read_labels
from smoacs.errors import InputError
from smoacs.learning.labelled import labelled_table

log = logging.getLogger("make_dft_dataset")

DRAWN_FILE: Final = "drawn.jsonl"
LABELS_FILE: Final = "labels.jsonl"
TABLE_FILE: Final = "dft_perovskites.parquet"
FAILURES_FILE: Final = "failures.csv"
CARD_FILE: Final = "README.md"

MAX_PRESSURE: Final = 25.0
"""GPa; what is squeezed or stretched more is far from any design at rest."""

AGREEMENT: Final = Path(__file__).parents[1] / "benchmarks/results/dft_known_perovskites.csv"
"""GPAW beside the Materials Project, as committed."""

OUTLIER: Final = 0.125
"""eV"""

REASONS: Final = {
    "mp-3163": "the structure was relaxed again, smaller, after the label: at 3 GPa in PBE; "
    "0.37 eV at 4.19 Å",
    "mp-7104": "half of it geometry (1.2 GPa; 7.03 eV at rest); the rest is not explained, and "
    "no matter of cutoff, k-points or bands",
    "mp-1017555": "not explained, and no matter of cutoff, k-points or bands; at -1 GPa",
    "mp-5811": "not explained; at 1 GPa",
    "mp-1017566": "not explained; at 1 GPa",
    "mp-22979": "geometry, 12 GPa; 1.22 eV at 3.91 Å",
}

COLUMNS: Final = {
    "material_id": "`mp-...` for known crystals, `design-...` for designs, else the number in the "
    "stream",
    "formula": "reduced formula",
    "n_atoms": "5",
    "numbers": "atomic numbers: A, B, X, X, X",
    "frac_coords": "fractional coordinates, flat",
    "lattice": "a, b, c (Å), α, β, γ (degrees)",
    "split": "train, val or test, by formula; one that the Materials Project set of June 2018 "
    "(MEGNet's) has, too, is in the part in which it is there",
    "kind": "known, cubic, box, strained, shifted or designed; none counts as relaxed in a "
    "training",
    "band_gap": "smallest gap between any two k-points of the grid (eV), 0 for metals",
    "band_gap_direct": "smallest gap at one k-point (eV)",
    "band_gap_scale": "functional and program of the gap",
    "forces": "eV/Å, flat, along the axes of ASE's `cellpar_to_cell`",
    "stress": "GPa, nine numbers, positive where the crystal is stretched too far",
    "dft_energy_per_atom": "total energy (eV/atom) relative to free atoms of GPAW: no formation "
    "energy, which would need a reference for each element",
    "dft_pressure": "GPa",
    "dft_max_force": "eV/Å",
    "dft_magnetic_moment": "of the cell (µB); 0 without spin",
    "dft_spin_polarized": "whether the two spins were allowed to differ",
    "dft_hubbard_u": "U (eV) on d shells, in words; empty without",
    "dft_cutoff": "plane waves (eV)",
    "dft_settings": "`DftSettings.key`",
    "dft_seconds": "CPU time",
    "scale": "lengths over those that CHGNet has at rest; empty for designs",
    "rest_length": "cube root of the cell's volume at rest by CHGNet (Å); empty for designs",
    "combination": "charges on A, B and X",
    "mp_band_gap": "label of the Materials Project (eV), known crystals only",
}


def export(folder: Path, out: Path) -> None:
    """Write table, failures and card of all labels in a folder of `make_dft_dataset.py`.

    Raises:
        InputError: There is nothing to export.
    """
    lines = [json.loads(line) for line in (folder / DRAWN_FILE).read_text().splitlines()]
    skipped = Counter(line["reason"] for line in lines if line["sample"] is None)
    drawn = [Sample.from_dict(line["sample"]) for line in lines if line["sample"]]
    labels = read_labels(folder / LABELS_FILE)
    pairs = [(s, labels[key]) for s in drawn if (key := s.key) in labels]
    if not any(item.results for _, item in pairs):
        raise InputError(f"{folder} holds no labels yet")
    table, failures = tables(pairs)
    near = table["dft_pressure"].abs() <= MAX_PRESSURE
    out.mkdir(parents=True, exist_ok=True)
    kept = table[near].reset_index(drop=True)
    kept.to_parquet(out / TABLE_FILE, index=False)
    failures.to_csv(out / FAILURES_FILE, index=False)
    agreement = pd.read_csv(AGREEMENT, keep_default_na=False, na_values=[""])
    text = card(kept, failures, agreement, far=int((~near).sum()), skipped=skipped)
    (out / CARD_FILE).write_text(text, encoding="utf-8")
    log.info("%d labels, %d failures in %s", len(kept), len(failures), out)


def tables(pairs: Sequence[tuple[Sample, DftLabel]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The labelled crystals in the training layout, and the failures with their reasons."""
    good = [(sample, item) for sample, item in pairs if item.results is not None]
    names = [sample.material_id for sample, _ in good]
    structures = [sample.structure for sample, _ in good]
    labels = [item for _, item in good]
    table = labelled_table(names, structures, labels, DftSettings())
    table = table.drop(columns="kind")
    values = [item.results for item in labels if item.results is not None]
    about = pd.DataFrame([dict(sample.about) for sample, _ in good])
    table["split"] = [split_of(sample) for sample, _ in good]
    table["dft_magnetic_moment"] = [item.magnetic_moment for item in values]
    table["dft_spin_polarized"] = [item.spin_polarized for item in values]
    table["dft_hubbard_u"] = [_words(item.hubbard_u) for item in values]
    about["mp_band_gap"] = about["mp_band_gap"].astype(float)
    table = pd.concat([table, about.drop(columns="mp_split")], axis=1)[list(COLUMNS)]
    failures = [
        (sample.material_id, _formula(sample), sample.about["kind"], item.failure)
        for sample, item in pairs
        if item.results is None
    ]
    return table, pd.DataFrame(failures, columns=["material_id", "formula", "kind", "reason"])


def split_of(sample: Sample) -> str:
    """Part of the data that a crystal belongs to: the one that its formula has elsewhere."""
    return str(sample.about["mp_split"]) or split_by_hash(Composition(_formula(sample)))


def split_by_hash(composition: Composition) -> str:
    """A tenth test, a tenth validation, by a hash of the reduced formula."""
    digest = hashlib.sha256(composition.reduced_formula.encode()).digest()
    return {0: "test", 1: "val"}.get(int.from_bytes(digest[:8]) % 10, "train")


def _formula(sample: Sample) -> str:
    return str(sample.structure.composition.element_composition.reduced_formula)


def _words(hubbard: Mapping[str, float]) -> str:
    return ", ".join(f"{symbol} {u:g}" for symbol, u in hubbard.items())


# --- the card -----------------------------------------------------------------------------------


def card(
    table: pd.DataFrame,
    failures: pd.DataFrame,
    agreement: pd.DataFrame,
    *,
    far: int,
    skipped: Mapping[str, int],
) -> str:
    """The data card, every number from the data.

    Args:
        table: What is published.
        failures: What did not converge.
        agreement: GPAW's gaps of known crystals beside the Materials Project's.
        far: Labels left out for their pressure.
        skipped: Recipes without a crystal, by reason.
    """
    return "\n".join(
        [
            _head(table),
            _contents(table),
            _left_out(failures, far, skipped),
            _agreement(agreement),
            _columns(),
            _licence(),
        ]
    )


def _head(table: pd.DataFrame) -> str:
    settings = DftSettings()
    scales = " and ".join(sorted(table["band_gap_scale"].unique()))
    hours = table["dft_seconds"].sum() / 3600.0
    formulas, elements = table["formula"].nunique(), len(_elements(table))
    return f"""# Perovskites around rest, by first principles

{len(table)} cells of five atoms, ABX3 with X of one, two or three kinds, calculated at fixed
geometry: band gap, forces, stress. {formulas} compositions of {elements} elements.
`{TABLE_FILE}` is in the [training layout](../../docs/training.md).

* **Generator**: `scripts/make_dft_dataset.py`, whose docstring says how crystals are drawn;
  {METALS_NOTE}. Those of kind `designed` are designs at rest
  that our own searches returned and `smoacs check --dft gpaw` calculated, most of them drawn at
  random from a run (`benchmarks/confirm_designs.py`).
* **Band gap scale**: {scales}; plane waves to {settings.hard_cutoff:g} eV with N, O or F and to
  {settings.cutoff:g} eV without, k-points times height of the cell at least
  {settings.kpoint_density:g} Å (4×4×4 from 3.5 to 7 Å), Fermi-Dirac smearing of
  {settings.smearing:g} eV; spin where an ion has an open d shell, from ferromagnetic moments;
  the Materials Project's U in oxides and fluorides. Accuracy: `docs/dft.md`.
* **Cost**: {hours:.1f} core hours, {table["dft_seconds"].mean():.1f} s each.
"""


def _contents(table: pd.DataFrame) -> str:
    rows = []
    for kind, part in table.groupby("kind", sort=False):
        gaps, pressure = part["band_gap"], part["dft_pressure"]
        rows.append(
            f"| {kind} | {len(part)} | {(gaps > 0).mean():.0%} | {gaps.max():.1f} | "
            f"{pressure.median():.1f} | {pressure.abs().median():.1f} |"
        )
    splits = ", ".join(
        f"{name}: {len(part)} crystals, {part['formula'].nunique()} formulas"
        for name, part in table.groupby("split")
    )
    open_shells = int(table["dft_spin_polarized"].sum())
    gaps = table.loc[table["band_gap"] > 0, "band_gap"]
    quartiles = ", ".join(f"{value:.2f}" for value in gaps.quantile([0.25, 0.5, 0.75]))
    body = "\n".join(rows)
    return f"""## What is in it

| kind | crystals | with a gap | largest gap (eV) | median pressure (GPa) | median of its size |
| --- | --- | --- | --- | --- | --- |
{body}

Quartiles of the gaps that are not 0: {quartiles} eV. {open_shells} crystals were calculated with
spin. Splits by formula, {splits}.
"""


def _left_out(failures: pd.DataFrame, far: int, skipped: Mapping[str, int]) -> str:
    reasons = failures["reason"].str.replace(r"\d+(\.\d+)?", "…", regex=True).value_counts()
    failed = "; ".join(f"{text}: {count}" for text, count in reasons.items()) or "none"
    drawn = "; ".join(f"{text}: {count}" for text, count in skipped.items()) or "none"
    return f"""## What is not

* Calculations that gave nothing, counted and never guessed (`{FAILURES_FILE}`): {len(failures)}
  ({failed}).
* Labels at more than {MAX_PRESSURE:g} GPa, of either sign: {far}. Designs at rest never come there.
* Recipes that were not calculated ({drawn}).
"""


def _agreement(known: pd.DataFrame) -> str:
    size = known["difference"].abs()
    with_gap = size[known["mp_band_gap"] > 0]
    same = ((known["mp_band_gap"] > 0) == (known["gpaw_band_gap"] > 0)).sum()
    rows = "\n".join(
        f"| {row.formula} ({row.material_id}) | {row.mp_band_gap:.2f} | {row.gpaw_band_gap:.2f} | "
        f"{row.difference:+.2f} | {REASONS.get(row.material_id, 'not looked into')} |"
        for row in known[size > OUTLIER].itertuples()
    )
    rest = size[size <= OUTLIER].max()
    return f"""## Agreement with the Materials Project

{len(known)} cubic perovskites of the Materials Project (June 2018) at the geometry which that has:
mean absolute difference of the gap {size.mean():.3f} eV, median {size.median():.3f} eV;
{with_gap.mean():.3f} eV for the {len(with_gap)} with a gap. Both agree on metal or not for {same}.
This is the noise floor of a training on both. The largest differences (eV):

| crystal | label | GPAW | difference | why |
| --- | --- | --- | --- | --- |
{rows}

The other {int((size <= OUTLIER).sum())} differ by {rest:.2f} eV at most.
"""


def _columns() -> str:
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in COLUMNS.items())
    return f"""## Columns

| column | meaning |
| --- | --- |
{rows}
"""


def _licence() -> str:
    return """## Licence and limits

CC BY 4.0. Structures with `mp-` identifiers and `mp_band_gap` are the Materials Project's
(CC BY 4.0, 10.1063/1.4812323). Gaps are PBE's, which are smaller than measured ones, without
spin-orbit coupling, and of cells of five atoms: no octahedra tilt here.
"""


def _elements(table: pd.DataFrame) -> set[int]:
    return {int(z) for numbers in table["numbers"] for z in numbers}
