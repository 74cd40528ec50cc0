"""Geometric constraints of a design, worked into a template or refused.

All of them hold by construction: bounds of lattice lengths and angles, boxes of coordinates, and
symmetry, which the candidates are projected on.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from smoacs.errors import InputError
from smoacs.templates.distances import RadiusKind, prune_large_elements
from smoacs.templates.lattice import lattice_parameters, metric_tensor, relative_volume
from smoacs.templates.symmetry import TemplateSymmetry, find_symmetry
from smoacs.templates.template import Template

LATTICE_KEYS: Final = ("a", "b", "c", "alpha", "beta", "gamma")

LENGTH_LIMITS: Final = (0.5, 1000.0)
"""Å; no lattice length can be outside."""

ANGLE_LIMITS: Final = (10.0, 170.0)
"""Degrees; no lattice angle can be outside."""

MIN_RELATIVE_VOLUME: Final = 0.05
"""Squared volume over abc below which a cell is too flat to start from."""

_ANGLES_TO_TRY: Final = 5

_TURNS: Final = 1000
"""Projections between ranges and symmetry before a lattice that obeys both is given up."""

_SLACK: Final = 1e-6
"""Relative slack of bounds against rounding."""

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class GeometryRules:
    """What users ask of the geometry; each field as in `DesignConfig`.

    Attributes:
        lattice: Ranges of lengths (Å) and angles (degrees) of the whole cell, by `LATTICE_KEYS`.
        symmetry: What of the template's symmetry stays.
        frozen: Keys of sites whose fractional coordinates do not move.
        max_displacement: Largest change of each fractional coordinate, by the key of the sites.
        min_distance: Shortest distance as a share of the sum of two radii; None for no limit.
        distance_radii: Which radii.
    """

    lattice: Mapping[str, Range] = field(default_factory=dict)
    symmetry: Literal["free", "lattice", "space-group"] = "free"
    frozen: tuple[str, ...] = ()
    max_displacement: Mapping[str, float] = field(default_factory=dict)
    min_distance: float | None = None
    distance_radii: RadiusKind = "covalent"

    def text(self) -> str:
        """What of this can leave fewer elements to choose from, in the user's words."""
        asked = [] if self.symmetry == "free" else [f"symmetry = {self.symmetry}"]
        if self.min_distance is not None:
            asked.append(f"min_distance = {self.min_distance:g}")
        return " with ".join(asked)


def with_geometry(template: Template, rules: GeometryRules) -> Template:
    """The template under geometric rules; itself if there are none.

    Raises:
        InputError: A rule names no site, or two rules exclude each other.
    """
    # The symmetry is the template's own, before ranges change its lattice.
    symmetry = None if rules.symmetry == "free" else find_symmetry(template, rules.symmetry)
    template = _with_boxes(template, rules)
    if rules.lattice:
        template = _with_lattice(template, rules.lattice)
    if symmetry is not None:
        template = _with_symmetry(template, symmetry, rules)
    if rules.min_distance is not None:
        template = prune_large_elements(
            template,
            roomiest_lattice(template),
            share=rules.min_distance,
            kind=rules.distance_radii,
            cause=_cause(rules),
        )
    return template


def roomiest_lattice(template: Template) -> NDArray[np.float64]:
    """Lattice vectors, Å, [3, 3], of the largest cell of the template's shape within its bounds.

    Without symmetry every length is as long as it may be; else all are scaled by one factor.
    """
    longest = np.array(template.length_bounds[1], dtype=np.float64)
    if template.symmetry is not None:
        longest[:] = template.lengths * (longest / template.lengths).min()
    lattice = np.linalg.cholesky(metric_tensor(longest, template.angles))
    return np.asarray(lattice, dtype=np.float64)


def _with_boxes(template: Template, rules: GeometryRules) -> Template:
    """Frozen sites and largest displacements."""
    box = np.array(template.coord_box)
    for key, limit in rules.max_displacement.items():
        sites = list(_sites(template, "max_displacement", key))
        if key in rules.frozen and limit > 0.0:
            msg = (
                f"frozen = {key} and max_displacement.{key} = {limit:g} exclude each other: "
                "leave one out"
            )
            raise InputError(msg)
        box[sites] = np.minimum(box[sites], limit)
    for key in rules.frozen:
        box[list(_sites(template, "frozen", key))] = 0.0
    return replace(template, coord_box=box) if rules.frozen or rules.max_displacement else template


def _sites(template: Template, setting: str, key: str) -> tuple[int, ...]:
    try:
        return template.sites(key)
    except InputError as error:
        raise InputError(f"{setting}: {str(error).removeprefix(f'sites.{key}: ')}") from None


def _with_lattice(template: Template, ranges: Mapping[str, Range]) -> Template:
    """Lengths and angles held in ranges; the start moves to the nearest cell within."""
    lengths, angles = np.array(template.length_bounds), np.array(template.angle_bounds)
    for key, bounds in ranges.items():
        index = LATTICE_KEYS.index(key)
        (lengths if index < 3 else angles)[:, index % 3] = bounds  # noqa: PLR2004
    return replace(
        template,
        lengths=np.clip(template.lengths, *lengths),
        angles=_open_angles(np.clip(template.angles, *angles), angles, ranges),
        length_bounds=lengths,
        angle_bounds=angles,
    )


def _open_angles(
    nearest: NDArray[np.float64], bounds: NDArray[np.float64], ranges: Mapping[str, Range]
) -> NDArray[np.float64]:
    """Angles within bounds ([2, 3], degrees) that enclose a volume: the nearest, or the best."""
    if relative_volume(nearest) >= MIN_RELATIVE_VOLUME:
        return nearest
    grid = itertools.product(*np.linspace(bounds[0], bounds[1], _ANGLES_TO_TRY).T)
    best = max((np.array(angles) for angles in grid), key=relative_volume)
    if relative_volume(best) < MIN_RELATIVE_VOLUME:
        asked = [_range_text(key, ranges) for key in LATTICE_KEYS[3:] if key in ranges]
        msg = f"{_and(asked)} exclude each other: no cell with such angles encloses a volume"
        raise InputError(msg)
    return best


def _with_symmetry(
    template: Template, symmetry: TemplateSymmetry, rules: GeometryRules
) -> Template:
    """Lattice, and for space groups sites, tied by the template's own symmetry."""
    length_bounds, angle_bounds = _tied_bounds(template, symmetry, rules)
    bounds = (length_bounds, angle_bounds)
    lengths, angles = _symmetric_start(template, symmetry, bounds, rules)
    template = replace(
        template,
        lengths=lengths,
        angles=angles,
        length_bounds=length_bounds,
        angle_bounds=angle_bounds,
        symmetry=symmetry,
    )
    if not symmetry.ties_sites:
        return template
    groups = [np.flatnonzero(symmetry.orbits == first) for first in symmetry.representatives]
    box = np.array(template.coord_box)
    for sites in groups:
        # A frozen site freezes those that are equivalent to it.
        box[sites] = 0.0 if (box[sites] == 0.0).all(axis=1).any() else box[sites]
    try:
        tied = template.with_ties([group.tolist() for group in groups])
    except InputError:
        raise InputError(_untieable(template, groups)) from None
    return distinguishable(replace(tied, frac_coords=symmetry.frac_coords, coord_box=box), symmetry)


def _tied_bounds(
    template: Template, symmetry: TemplateSymmetry, rules: GeometryRules
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds that tied lengths share, and angles that symmetry fixes, each [2, 3]."""
    rng = np.random.default_rng(0)
    lattice = metric_tensor(template.lengths, template.angles)
    samples = []
    for _ in range(4):  # generic lattices that keep the symmetry
        noise = rng.normal(scale=0.05, size=(3, 3))
        strain = np.eye(3) + noise
        samples.append(lattice_parameters(symmetry.invariant_metric(strain @ lattice @ strain.T)))
    lengths, angles = (np.array(values) for values in zip(*samples, strict=True))
    length_bounds, angle_bounds = np.array(template.length_bounds), np.array(template.angle_bounds)
    for i, j in itertools.combinations(range(3), 2):
        if np.allclose(lengths[:, i], lengths[:, j], rtol=1e-9):
            low = max(length_bounds[0, i], length_bounds[0, j])
            high = min(length_bounds[1, i], length_bounds[1, j])
            if low > high:
                keys = (LATTICE_KEYS[i], LATTICE_KEYS[j])
                asked = [_range_text(k, rules.lattice) for k in keys if k in rules.lattice]
                msg = (
                    f"{_and([*asked, _symmetry_text(rules)])} exclude each other: the symmetry of "
                    f"template {template.name!r} makes {keys[0]} and {keys[1]} equal"
                )
                raise InputError(msg)
            length_bounds[:, i] = length_bounds[:, j] = low, high
    for i in range(3):
        if np.ptp(angles[:, i]) < _SLACK:
            angle = round(float(angles[0, i]), 9)
            _check_angle(angle_bounds[:, i], angle, LATTICE_KEYS[3 + i], rules)
            angle_bounds[:, i] = angle
    return length_bounds, angle_bounds


def _check_angle(bounds: NDArray[np.float64], angle: float, key: str, rules: GeometryRules) -> None:
    """Refuse a range ([2], degrees) without the angle that symmetry asks for."""
    if not bounds[0] - _SLACK <= angle <= bounds[1] + _SLACK and key in rules.lattice:
        msg = (
            f"{_range_text(key, rules.lattice)} and {_symmetry_text(rules)} exclude each other: "
            f"the template's symmetry makes {key} {angle:g}°"
        )
        raise InputError(msg)


def _symmetric_start(
    template: Template,
    symmetry: TemplateSymmetry,
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
    rules: GeometryRules,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths and angles that keep the symmetry and all bounds, near the template's own."""
    length_bounds, angle_bounds = bounds
    lengths, angles = template.lengths, template.angles
    for _ in range(_TURNS):
        metric = metric_tensor(np.clip(lengths, *length_bounds), np.clip(angles, *angle_bounds))
        lengths, angles = lattice_parameters(symmetry.invariant_metric(metric))
        off = max(_excess(lengths, length_bounds), _excess(angles, angle_bounds))
        if off < _SLACK:
            return np.clip(lengths, *length_bounds), np.clip(angles, *angle_bounds)
    asked = [_range_text(key, rules.lattice) for key in rules.lattice]
    msg = (
        f"{_and([*asked, _symmetry_text(rules)])} exclude each other: no lattice in these ranges "
        f"has the symmetry of template {template.name!r}"
    )
    raise InputError(msg)


def _excess(values: NDArray[np.float64], bounds: NDArray[np.float64]) -> float:
    """Largest relative distance of values from their bounds."""
    return float((np.abs(values - np.clip(values, *bounds)) / values).max())


def _untieable(template: Template, groups: Sequence[NDArray[np.intp]]) -> str:
    """Name a set of equivalent sites without a common element."""
    for k, sites in itertools.product(range(template.n_combinations), groups):
        if not template.allowed[k, sites].all(axis=0).any():
            names = [site_name(template, int(site)) for site in sites]
            options = {template.allowed[k, site].tobytes() for site in sites}
            shown = _and(names if len(names) <= 4 else [*names[:2], names[-1]])  # noqa: PLR2004
            if len(options) > 1:
                return (
                    f"symmetry = space-group and the elements allowed on {shown} exclude each "
                    f"other: equivalent sites of template {template.name!r} hold one element, and "
                    "no element is allowed on all of them"
                )
    return f"symmetry = space-group leaves no element for template {template.name!r}"


def site_name(template: Template, site: int) -> str:
    """What users call a site, such as "X[0]"."""
    label = template.site_labels[site]
    return f"{label}[{template.site_labels[:site].count(label)}]"


def distinguishable(template: Template, symmetry: TemplateSymmetry) -> Template:
    """Drop combinations under which the elements allowed always raise the symmetry.

    Raises:
        InputError: None is left.
    """
    kept = [
        distinct_choice(template.allowed[k], symmetry) is not None
        for k in range(template.n_combinations)
    ]
    if not any(kept):
        names = [site_name(template, int(site)) for site in symmetry.representatives]
        msg = (
            f"symmetry = space-group and the elements allowed on {_and(names)} exclude each other: "
            f"with them template {template.name!r} always has more symmetry than its space group"
        )
        raise InputError(msg)
    if all(kept):
        return template
    keep = np.array(kept)
    return replace(
        template,
        combinations=template.combinations[keep],
        combination_names=tuple(np.array(template.combination_names, dtype=object)[keep]),
        allowed=template.allowed[keep],
        radii=None if template.radii is None else template.radii[keep],
    )


def distinct_choice(
    allowed: NDArray[np.bool_], symmetry: TemplateSymmetry, *, tries: int = 2000
) -> NDArray[np.int64] | None:
    """Elements, [N], that do not raise the symmetry; None if none are found.

    Args:
        allowed: Elements of each site, equal on equivalent sites, [N, 98].
        symmetry: Ties the sites.
        tries: Most choices to look at.
    """
    sites = symmetry.representatives
    numbers = np.searchsorted(sites, symmetry.orbits)
    # With as many elements to choose from as there are sets of sites, a different one each exists.
    options = [np.flatnonzero(allowed[site])[: len(sites) + 1] for site in sites]
    for choice in itertools.islice(itertools.product(*options), tries):
        elements = np.array(choice)[numbers]
        if not symmetry.is_raised(elements):
            return elements
    return None


def _cause(rules: GeometryRules) -> str:
    """The settings that keep atoms apart and those that keep them together."""
    asked = [_range_text(key, rules.lattice) for key in rules.lattice]
    symmetry = [] if rules.symmetry == "free" else [_symmetry_text(rules)]
    return _and([f"min_distance = {rules.min_distance:g}", *asked, *symmetry])


def _symmetry_text(rules: GeometryRules) -> str:
    return f"symmetry = {rules.symmetry}"


def _range_text(key: str, ranges: Mapping[str, Range]) -> str:
    low, high = ranges[key]
    return f"lattice.{key} = {low:g}" + ("" if low == high else f" to {high:g}")


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
