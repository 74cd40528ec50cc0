"""Independent checks of designs: by potentials, rules, references and first principles.

Nothing here took part in the design. It knows the judge, but not the optimiser.
"""

from smoacs.checking.chemistry import chemistry_table
from smoacs.checking.loading import AUTO, CHGNET, SEVENNET, load_potential
from smoacs.checking.phonons import PhononSettings, phonon_table
from smoacs.checking.potentials import CheckPotential, RelaxedDesign, RelaxSettings
from smoacs.checking.rattled import (
    MAX_ANGLE_CHANGE,
    MAX_VOLUME_CHANGE,
    RattleSettings,
    rattled,
    rattled_table,
)
from smoacs.checking.reference import Reference, novelty_table, read_reference
from smoacs.checking.settings import NO_POTENTIAL, CheckSettings
from smoacs.checking.survival import MAX_LENGTH_CHANGE, WIDER, relax_designs, survival_table
from smoacs.checking.truth import GAP_TOLERANCE, confirmable, dft_table

__all__ = [
    "AUTO",
    "CHGNET",
    "GAP_TOLERANCE",
    "MAX_ANGLE_CHANGE",
    "MAX_LENGTH_CHANGE",
    "MAX_VOLUME_CHANGE",
    "NO_POTENTIAL",
    "SEVENNET",
    "WIDER",
    "CheckPotential",
    "CheckSettings",
    "PhononSettings",
    "RattleSettings",
    "Reference",
    "RelaxSettings",
    "RelaxedDesign",
    "chemistry_table",
    "confirmable",
    "dft_table",
    "load_potential",
    "novelty_table",
    "phonon_table",
    "rattled",
    "rattled_table",
    "read_reference",
    "relax_designs",
    "survival_table",
]
