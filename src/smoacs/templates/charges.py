"""Which elements take the oxidation numbers of sites, and how combinations of these are called."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry import (
    ELEMENTS,
    MAX_CHARGE,
    MIN_CHARGE,
    OxidationTable,
    radius_table,
)

MORE_NUMBERS: Final = (
    "oxidation_table = 'icsd' or 'smact' has more numbers, and oxidation_states = { Fe = [2, 3] } "
    "gives an element those that you say"
)
"""What to tell a user whose template has no neutral combination."""

_COORDINATION: Final = (12, 6, 6)
"""Neighbours of A, B and X in a perovskite, by role."""


def allowed_elements(charges: NDArray[np.integer], table: OxidationTable) -> NDArray[np.bool_]:
    """Elements that take the charge of each site, [K, N, 98]."""
    values, index = np.unique(charges, return_inverse=True)
    takes = [[int(value) in table.get(symbol, ()) for symbol in ELEMENTS] for value in values]
    mask: NDArray[np.bool_] = np.array(takes, dtype=np.bool_)[index.reshape(charges.shape)]
    return mask


def allowed_at(
    charges: NDArray[np.integer], roles: NDArray[np.integer], table: OxidationTable
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Elements that take the charges of sites, and their ionic radii there.

    On a site with a role in the tolerance factor an element needs a radius.

    Args:
        charges: Oxidation numbers, [K, N].
        roles: Of the sites, [N]: 0 = A, 1 = B, 2 = X, -1 = none.
        table: Oxidation numbers by element.

    Returns:
        Allowed elements, and radii (Å; 0 where there is none), each [K, N, 98].
    """
    allowed = allowed_elements(charges, table)
    radii = np.zeros(allowed.shape, dtype=np.float32)
    for role, coordination in enumerate(_COORDINATION):
        sites = np.flatnonzero(roles == role)
        if len(sites) == 0:
            continue
        known = np.nan_to_num(radius_table(coordination)).astype(np.float32)
        index = np.clip(charges[:, sites] - MIN_CHARGE, 0, MAX_CHARGE - MIN_CHARGE)
        radii[:, sites] = np.where(allowed[:, sites], known.T[index], 0.0)
    allowed &= (radii > 0.0) | (roles < 0)[:, None]
    return allowed, radii


def combination_names(labels: Sequence[str], charges: NDArray[np.integer]) -> tuple[str, ...]:
    """Names such as "Sr+2 Ti+4 O-2" or, where a kind has several, "Fe+2x2 Fe+3x4 O-2".

    Args:
        labels: Kind of each site.
        charges: Oxidation numbers, [K, N].
    """
    names = []
    for row in charges:
        ions = Counter(zip(labels, row.tolist(), strict=True))
        kinds = Counter(label for label, _ in ions)
        ordered = sorted(ions.items(), key=lambda ion: (labels.index(ion[0][0]), ion[0][1]))
        names.append(
            " ".join(
                f"{label}{charge:+d}" + (f"x{count}" if kinds[label] > 1 else "")
                for (label, charge), count in ordered
            ),
        )
    return tuple(
        name if names.count(name) == 1 else f"{name} #{names[: k + 1].count(name)}"
        for k, name in enumerate(names)
    )
