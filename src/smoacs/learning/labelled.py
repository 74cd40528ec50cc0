"""Labels as tables: in the training layout, and beside what was predicted."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from smoacs.checking import GAP_TOLERANCE, dft_table
from smoacs.dft import DftLabel, DftSettings
from smoacs.structures import bare, symbols
from smoacs.targets import Target
from smoacs.training.layout import VOIGT, layout_row

DESIGN_KIND: Final = "design"
"""The `kind` of labelled designs: they need not be at rest."""


def labelled_table(
    names: Sequence[str],
    structures: Sequence[Structure],
    labels: Sequence[DftLabel],
    settings: DftSettings,
) -> pd.DataFrame:
    """Labels in the training layout; those without results are left out.

    `forces` and `stress` are at the geometry of the row. The total energy, which is relative to
    free atoms of the engine, comes as `dft_energy_per_atom` and is no formation energy.
    `band_gap_scale` says which functional and program the gap is of.

    Args:
        names: The `material_id` of each.
        structures: What was labelled.
        labels: One for each.
        settings: Those of the calculations.
    """
    rows = [
        _row(structure, label, settings) | {"material_id": name}
        for name, structure, label in zip(names, structures, labels, strict=True)
        if label.results is not None
    ]
    return pd.DataFrame(rows)


def _row(structure: Structure, label: DftLabel, settings: DftSettings) -> dict[str, Any]:
    """One row; forces and stress come in the axes of the standard cell (`Calculation.cell`)."""
    values = label.results
    if values is None:
        raise ValueError("a label without results is no row")
    lattice = Lattice.from_parameters(*structure.lattice.parameters)
    standard = Structure(lattice, symbols(structure), structure.frac_coords)
    stress = None
    if values.stress is not None:
        stress = np.array(values.stress)[VOIGT].reshape(3, 3)
    row = layout_row(standard, forces=values.forces, stress=stress)
    return row | {
        "kind": DESIGN_KIND,
        "band_gap": values.band_gap,
        "band_gap_direct": values.band_gap_direct,
        "band_gap_scale": f"{settings.functional}, {values.engine}",
        "dft_energy_per_atom": values.energy_per_atom,
        "dft_pressure": values.pressure,
        "dft_max_force": values.max_force,
        "dft_cutoff": values.cutoff,
        "dft_settings": label.settings,
        "dft_seconds": label.seconds,
    }


def design_table(
    chosen: pd.DataFrame,
    results: pd.DataFrame,
    labels: Sequence[DftLabel],
    targets: Sequence[Target],
    *,
    tolerance: float = GAP_TOLERANCE,
) -> pd.DataFrame:
    """What was predicted of the chosen designs, and what first principles say.

    Args:
        chosen: What `choose` gives; those beyond the labels are left out.
        results: The table of the run.
        labels: Of the first of the chosen designs.
        targets: What was wanted.
        tolerance: See `smoacs.checking.dft_table`.
    """
    done = chosen.iloc[: len(labels)].reset_index(drop=True)
    predicted = results.set_index("id").loc[done["id"]].reset_index()
    columns = [name for name in ("band_gap", "band_gap.std") if name in predicted]
    truth = dft_table(labels, targets, tolerance=tolerance)
    truth["dft_seconds"] = [label.seconds for label in labels]
    return pd.concat([done, predicted[columns], truth], axis=1)


def plain_row(structure: Structure) -> dict[str, Any]:
    """A crystal in the training layout without labels."""
    return layout_row(bare(structure))


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; empty ones are left out."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
