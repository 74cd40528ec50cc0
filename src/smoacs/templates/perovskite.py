"""Cubic perovskites ABX3 and their supercells."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smoacs.chemistry import OxidationTable, oxidation_table
from smoacs.errors import InputError
from smoacs.templates.charges import MORE_NUMBERS, allowed_at
from smoacs.templates.template import Template, check_size

_LENGTH: Final = 3.905
"""Lattice length (Å) of cubic SrTiO3."""

_CELL: Final = {
    "A": [(0.0, 0.0, 0.0)],
    "B": [(0.5, 0.5, 0.5)],
    "X": [(0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)],
}
_STOICHIOMETRY: Final = {"A": 1, "B": 1, "X": 3}
_BOX: Final = 0.15
_SUPERCELL_BOX: Final = 0.05
_LENGTH_BOUNDS: Final = (2.0, 10.0)


def perovskite(
    repeat: int = 1,
    *,
    charges: Sequence[tuple[int, int, int]] = ((1, 2, -1), (2, 4, -2), (3, 3, -2), (1, 5, -2)),
    table: OxidationTable | None = None,
) -> Template:
    """Cubic perovskite ABX3, repeated along each axis; every site chooses its own element.

    A sits at the corner (twelve neighbours X), B in the centre (six), X on the faces. Sites go
    kind by kind: all A, then all B, then all X. Elements without an ionic radius for their role
    are not allowed. The first two combinations of charges are those of the method's authors
    (arXiv:2410.08562).

    Args:
        repeat: Number of unit cells along each axis, n; the template has 5n³ sites.
        charges: Oxidation numbers of A, B and X to choose from; each A + B + 3X is 0.
        table: Oxidation numbers by element; None is the common table.

    Raises:
        InputError: ``repeat`` is below 1, charges are missing or not neutral, or no combination
            of charges has elements for all of A, B and X.
    """
    if repeat < 1:
        msg = f"repeat is {repeat}; a perovskite is repeated at least once along each axis"
        raise InputError(msg)
    check_size(sum(map(len, _CELL.values())), repeat)
    if not charges:
        msg = "charges is empty; it needs at least one triple of oxidation numbers of A, B and X"
        raise InputError(msg)
    for triple in charges:
        if sum(q * n for q, n in zip(triple, _STOICHIOMETRY.values(), strict=True)):
            msg = f"no neutral combination: A{triple[0]:+d} B{triple[1]:+d} X{triple[2]:+d} in ABX3"
            raise InputError(msg)
    table = oxidation_table() if table is None else table
    allowed, radii = allowed_at(np.array(charges, dtype=np.int64), np.arange(3), table)
    kept = np.all(np.any(allowed, axis=2), axis=1)
    names = tuple(f"A{a:+d} B{b:+d} X{x:+d}" for a, b, x in charges)
    if not kept.any():
        msg = (
            f"the oxidation table has no elements for A, B and X under any of: {', '.join(names)}; "
            f"{MORE_NUMBERS}"
        )
        raise InputError(msg)
    coords, roles = _sites(repeat)
    return Template(
        name="perovskite" if repeat == 1 else f"perovskite {repeat}x{repeat}x{repeat}",
        lengths=np.full(3, _LENGTH * repeat),
        angles=np.full(3, 90.0),
        frac_coords=coords,
        site_labels=tuple("ABX"[role] for role in roles),
        combinations=np.array(charges, dtype=np.int8)[kept][:, roles],
        combination_names=tuple(name for name, keep in zip(names, kept, strict=True) if keep),
        allowed=allowed[kept][:, roles],
        radii=radii[kept][:, roles],
        roles=roles,
        coord_box=np.full((len(roles), 3), _BOX if repeat == 1 else _SUPERCELL_BOX),
        length_bounds=np.outer(_LENGTH_BOUNDS, np.full(3, float(repeat))),
        angle_bounds=np.full((2, 3), 90.0),
        random_lengths=True,
        mixes=True,
    )


def _sites(repeat: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Fractional coordinates, [5n³, 3], and roles, [5n³], of the supercell's sites."""
    cells = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    coords, roles = [], []
    for role, positions in enumerate(_CELL.values()):
        for position in positions:
            coords.append((cells + np.array(position)) / repeat)
            roles.append(np.full(len(cells), role, dtype=np.int8))
    return np.concatenate(coords), np.concatenate(roles)
