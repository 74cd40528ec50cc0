"""Sites that must hold the same element."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def tie(
    n_sites: int, groups: Sequence[Sequence[int]], before: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The first site of the group that each of N sites belongs to, [N]; itself if it is in none.

    Args:
        n_sites: N.
        groups: Sites of each group; groups that share a site become one.
        before: Ties that there are already, [N].
    """
    tied_to = np.arange(n_sites) if before is None else before.copy()
    for group in groups:
        joined = np.isin(tied_to, tied_to[list(group)])
        tied_to[joined] = np.flatnonzero(joined)[0]
    return tied_to


def common_elements(
    allowed: NDArray[np.bool_], tied_to: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Elements that all sites tied to each other may hold.

    Args:
        allowed: Elements that each site may hold, [..., N, 98].
        tied_to: Of `tie`; None if no sites are tied.

    Returns:
        The same shape as `allowed`.
    """
    if tied_to is None:
        return allowed
    common = allowed.copy()
    for first in np.flatnonzero(np.bincount(tied_to) > 1):
        sites = tied_to == first
        common[..., sites, :] = allowed[..., sites, :].all(axis=-2, keepdims=True)
    return common
