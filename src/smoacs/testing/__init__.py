"""The checks that every predictor must pass; run them on your own before you design with it.

A property of a crystal does not depend on how the crystal is written down: on the order of atoms,
the origin, the orientation, the cell chosen, or the crystals beside it in the batch. And the
gradient that an optimiser follows must be the derivative of the value that it is told.

`check_predictor(predictor)` runs all checks; each is a function that can be called alone. Values
are compared in scales of their property (`smoacs.predictors.PROPERTIES`; 1 for a property that is
not there).
"""

from smoacs.testing.comparison import DOUBLE, SINGLE, ModelTolerance, PredictorCheckError
from smoacs.testing.conformance import (
    CHECKS,
    check_atom_order,
    check_batching,
    check_cell_choice,
    check_cutoff,
    check_extrapolation,
    check_gradient,
    check_lattice_translation,
    check_neighbor_skin,
    check_origin_shift,
    check_outputs,
    check_predictor,
    check_purity,
    check_rotation,
    check_soft_species,
    check_supercell,
    check_system_order,
)
from smoacs.testing.samples import default_crystals

__all__ = [
    "CHECKS",
    "DOUBLE",
    "SINGLE",
    "ModelTolerance",
    "PredictorCheckError",
    "check_atom_order",
    "check_batching",
    "check_cell_choice",
    "check_cutoff",
    "check_extrapolation",
    "check_gradient",
    "check_lattice_translation",
    "check_neighbor_skin",
    "check_origin_shift",
    "check_outputs",
    "check_predictor",
    "check_purity",
    "check_rotation",
    "check_soft_species",
    "check_supercell",
    "check_system_order",
    "default_crystals",
]
