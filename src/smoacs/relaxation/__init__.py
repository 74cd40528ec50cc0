"""Relaxation of many crystals at once, elements fixed, on any potential."""

from smoacs.relaxation.connectivity import same_connectivity
from smoacs.relaxation.descent import descend
from smoacs.relaxation.fire import (
    FMAX,
    MAX_STEPS,
    Potential,
    RelaxedCrystals,
    Response,
    relax,
)
from smoacs.relaxation.fixed import Fixed
from smoacs.relaxation.geometry_guard import GeometryGuard, to_structures
from smoacs.relaxation.lattice import SecantLattice
from smoacs.relaxation.modes import Vibrations, vibrations
from smoacs.relaxation.quasi_newton import Ends, Observer, QuasiNewton, relax_candidates
from smoacs.relaxation.radii import change_elements, radius_length, start_at_radii
from smoacs.relaxation.settled import Settled, SettleSettings
from smoacs.relaxation.settling import settle
from smoacs.relaxation.structures import (
    Relaxed,
    relax_structures,
    relaxation_problem,
    symmetry_of,
)

__all__ = [
    "FMAX",
    "MAX_STEPS",
    "Ends",
    "Fixed",
    "GeometryGuard",
    "Observer",
    "Potential",
    "QuasiNewton",
    "Relaxed",
    "RelaxedCrystals",
    "Response",
    "SecantLattice",
    "SettleSettings",
    "Settled",
    "Vibrations",
    "change_elements",
    "descend",
    "radius_length",
    "relax",
    "relax_candidates",
    "relax_structures",
    "relaxation_problem",
    "same_connectivity",
    "settle",
    "start_at_radii",
    "symmetry_of",
    "to_structures",
    "vibrations",
]
