"""The properties that the package knows by name: units, physical limits and scales."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class PropertyInfo:
    """What is known of a property apart from its value.

    Attributes:
        label: Words for a plot's axis or a table's head, without the unit.
        unit: Unit of every value of this property; "1" if it has none.
        scale: A difference, in `unit`, that matters about as much as one scale of another property
            does. Losses of several targets are comparable after division by it.
        minimum: Lowest physical value in `unit`, if there is one.
        largest: What no solid exceeds, in `unit` and without its sign; larger labels are in another
            unit.
    """

    label: str
    unit: str
    scale: float
    minimum: float | None = None
    largest: float | None = None


PROPERTIES: Mapping[str, PropertyInfo] = {
    "band_gap": PropertyInfo(label="band gap", unit="eV", scale=1.0, minimum=0.0, largest=25.0),
    "formation_energy": PropertyInfo(
        label="formation energy", unit="eV/atom", scale=0.5, largest=20.0
    ),
    "energy": PropertyInfo(label="total energy", unit="eV/atom", scale=0.5),
    "energy_above_hull": PropertyInfo(
        label="energy above hull", unit="eV/atom", scale=0.1, largest=20.0
    ),
    "tolerance_factor": PropertyInfo(label="tolerance factor", unit="1", scale=0.1),
    "density": PropertyInfo(label="density", unit="g/cm^3", scale=1.0, minimum=0.0),
    "volume_per_atom": PropertyInfo(label="volume per atom", unit="Å^3", scale=5.0, minimum=0.0),
    "bulk_modulus": PropertyInfo(label="bulk modulus", unit="GPa", scale=50.0, largest=2000.0),
    "shear_modulus": PropertyInfo(label="shear modulus", unit="GPa", scale=30.0, largest=2000.0),
    "critical_temperature": PropertyInfo(
        label="critical temperature", unit="K", scale=5.0, minimum=0.0, largest=400.0
    ),
}


ENERGY = "formation_energy"
"""The property that is an energy; reference energies of the elements do not act on geometry."""

SPREAD_SUFFIX = ".std"
"""The standard deviation of a predicted property is a property, too: its name with this."""


def property_scale(name: str) -> float:
    """Return the scale of a property in its own unit; 1 for a property unknown to the package."""
    return PROPERTIES[name].scale if name in PROPERTIES else 1.0


def physical(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lift values below the property's physical minimum to that minimum, as users see them.

    Predictors return raw values, which for a metal's band gap may be slightly negative, so that
    gradients do not vanish there. NaN stays NaN.

    Args:
        name: Property; one unknown to the package has no minimum.
        values: Raw values of any shape, in the property's unit.
    """
    minimum = PROPERTIES[name].minimum if name in PROPERTIES else None
    return values if minimum is None else np.maximum(values, minimum)
