"""What every predictor must pass, one function per check.

Each takes the predictor (on the CPU), crystals in double precision (None for `default_crystals` of
the predictor's elements), and tolerances (None for those of the precision of the predictor's
values), and raises `PredictorCheckError`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import torch
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.base import Predictor
from smoacs.predictors.properties import PROPERTIES
from smoacs.testing.comparison import (
    SINGLE,
    ModelTolerance,
    PredictorCheckError,
    require_equal,
    require_finite,
    scale_of,
    values_of,
)
from smoacs.testing.samples import default_crystals, doubled, softened, take_atoms
from smoacs.testing.slopes import difference_slopes, gradient_slopes, random_paths

SKIN: Final = 1.0
"""Å."""

EXTREME_LENGTHS: Final = (1.2, 30.0)
"""Lengths of cubic cells, Å, far beyond those of real crystals on both sides."""


class Check(Protocol):
    """The signature of all checks."""

    def __call__(
        self,
        predictor: Predictor,
        crystals: Crystals | None = None,
        tolerances: ModelTolerance | None = None,
    ) -> None:
        """Raise `PredictorCheckError` if the predictor fails."""
        ...


def _unchanged_by(descriptions: Callable[[Crystals], Iterator[Crystals]]) -> Check:
    """The check that properties stay the same in other descriptions of the same crystals."""

    def check(
        predictor: Predictor,
        crystals: Crystals | None = None,
        tolerances: ModelTolerance | None = None,
    ) -> None:
        crystals = _given(predictor, crystals)
        expected = values_of(predictor, crystals)
        for other in descriptions(crystals):
            require_equal(name, values_of(predictor, other), expected, tolerances)

    name = descriptions.__name__.removeprefix("check_")
    check.__name__ = check.__qualname__ = descriptions.__name__
    check.__doc__ = descriptions.__doc__
    return check


def check_predictor(
    predictor: Predictor,
    *,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """Run all of `CHECKS`.

    Args:
        predictor: What to check, on the CPU.
        crystals: Crystals without symmetry, double precision; None for `default_crystals` of the
            predictor's elements.
        tolerances: None for `SINGLE` or `DOUBLE`, by the precision of the predictor's values.

    Raises:
        PredictorCheckError: At the first check that fails.
    """
    for check in CHECKS.values():
        check(predictor, crystals, tolerances)


def check_outputs(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """Every property comes under its name, in its known unit, one finite number per crystal."""
    del tolerances
    crystals = _given(predictor, crystals)

    def require(subject: str, value: object, right: object) -> None:
        if value != right:
            raise PredictorCheckError(
                check="outputs", subject=subject, value=f"{value!r}", expectation=f"{right!r}"
            )

    require("the set of unknown elements", set(predictor.elements - set(ELEMENTS)), set())
    out = predictor(crystals, neighbor_list(crystals, predictor.cutoff))
    for name, unit in predictor.properties.items():
        if name in PROPERTIES:
            require(f"the unit of {name}", unit, PROPERTIES[name].unit)
        require(f"{name} among the values returned", name in out, right=True)
        require(f"the shape of {name}", tuple(out[name].shape), (crystals.n_systems,))
        require(f"{name}, a floating-point number,", out[name].is_floating_point(), right=True)
        require_finite("outputs", name, out[name])


def check_purity(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """A call changes neither its input nor the next call."""
    crystals = _given(predictor, crystals)
    neighbors = neighbor_list(crystals, predictor.cutoff)
    given = {
        f"{kind}.{name}": tensor
        for kind, fields in (("crystals", vars(crystals)), ("neighbors", vars(neighbors)))
        for name, tensor in fields.items()
        if isinstance(tensor, Tensor)
    }
    before = {name: tensor.clone() for name, tensor in given.items()}
    with torch.no_grad():
        first = predictor(crystals, neighbors)
    for name, tensor in given.items():
        if not torch.equal(tensor, before[name]):
            raise PredictorCheckError(
                check="purity", subject=name, value="changed by the call", expectation="left alone"
            )
    expected = {name: first[name] for name in predictor.properties}
    require_equal("purity", values_of(predictor, crystals), expected, tolerances)


def check_batching(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """A crystal has the same properties alone and in a batch."""
    crystals = _given(predictor, crystals)
    alone = [
        values_of(predictor, crystals.select(torch.tensor([b]))) for b in range(crystals.n_systems)
    ]
    expected = {name: torch.cat([v[name] for v in alone]) for name in predictor.properties}
    require_equal("batching", values_of(predictor, crystals), expected, tolerances)


@_unchanged_by
def check_atom_order(crystals: Crystals) -> Iterator[Crystals]:
    """The order of the atoms does not matter."""
    shuffled = torch.randperm(crystals.n_atoms, generator=_generator())
    yield take_atoms(crystals, shuffled[torch.argsort(crystals.system_idx[shuffled], stable=True)])


def check_system_order(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """The order of the crystals does not matter."""
    crystals = _given(predictor, crystals)
    backwards = crystals.n_systems - 1 - crystals.system_idx
    turned = crystals.replace(cell=crystals.cell.flip(0), system_idx=backwards)
    moved = take_atoms(turned, torch.argsort(backwards, stable=True))
    expected = {name: v.flip(0) for name, v in values_of(predictor, crystals).items()}
    require_equal("system_order", values_of(predictor, moved), expected, tolerances)


@_unchanged_by
def check_origin_shift(crystals: Crystals) -> Iterator[Crystals]:
    """The origin does not matter."""
    shift = torch.tensor([0.31, -0.17, 0.43]).to(crystals.frac_coords)
    yield crystals.replace(frac_coords=crystals.frac_coords + shift)


@_unchanged_by
def check_rotation(crystals: Crystals) -> Iterator[Crystals]:
    """Neither the orientation matters, nor inversion: properties are scalars."""
    random = torch.randn(3, 3, generator=_generator(), dtype=torch.float64)
    orthogonal = torch.linalg.qr(random).Q.to(crystals.cell)
    for operation in (orthogonal, -orthogonal):
        yield crystals.replace(cell=crystals.cell @ operation)


@_unchanged_by
def check_lattice_translation(crystals: Crystals) -> Iterator[Crystals]:
    """Atoms may be moved by whole lattice vectors."""
    whole = torch.randint(-2, 3, crystals.frac_coords.shape, generator=_generator())
    yield crystals.replace(frac_coords=crystals.frac_coords + whole)


@_unchanged_by
def check_cell_choice(crystals: Crystals) -> Iterator[Crystals]:
    """Other vectors that span the same lattice describe the same crystal."""
    change = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, -1, 1]]).to(crystals.cell)
    frac_coords = crystals.frac_coords @ torch.linalg.inv(change)
    yield crystals.replace(cell=change @ crystals.cell, frac_coords=frac_coords)


@_unchanged_by
def check_supercell(crystals: Crystals) -> Iterator[Crystals]:
    """A supercell has the same properties: all of them are intensive."""
    for axis in range(3):
        yield doubled(crystals, axis)


def check_neighbor_skin(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """Pairs beyond the cutoff, which a list with a skin holds, do not matter."""
    crystals = _given(predictor, crystals)
    values = values_of(predictor, crystals, skin=SKIN)
    require_equal("neighbor_skin", values, values_of(predictor, crystals), tolerances)


def check_cutoff(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """No value jumps when a pair of atoms comes within the cutoff."""
    if predictor.cutoff == 0:
        return
    crystals = _given(predictor, crystals)
    scale = predictor.cutoff / _first_beyond(crystals, predictor.cutoff)

    def values_at(stretch: float) -> dict[str, Tensor]:
        factor = (scale * stretch)[:, None, None]
        return values_of(predictor, crystals.replace(cell=crystals.cell * factor))

    far_in, just_in, just_out, far_out = (values_at(1 + k * 1e-5) for k in (-3, -1, 1, 3))
    expected = {}
    for name, value in just_out.items():
        beside = (far_out[name] - value + just_in[name] - far_in[name]) / 2
        expected[name] = just_in[name] + beside  # if the slope is the same across the cutoff
    require_equal("cutoff", just_out, expected, tolerances)


def check_gradient(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """Slopes by gradient are those by finite differences, and are not small.

    In random directions of species weights, positions, strain and ionic radii, at soft species.
    Neighbours are found anew at every point.
    """
    point = softened(_given(predictor, crystals), predictor.elements, share=0.3)
    generator = _generator()
    paths = [path for _ in range(2) for path in random_paths(point, generator)]
    largest = dict.fromkeys(predictor.properties, 0.0)
    for path in paths:
        slopes, precision = gradient_slopes(predictor, path)
        limits = tolerances or precision
        numeric = [difference_slopes(predictor, path, step) for step in limits.steps]
        for name, slope in slopes.items():
            unit = scale_of(name)
            largest[name] = max(largest[name], abs(slope) / unit)
            right = slope + min((n[name] - slope for n in numeric), key=abs)
            if not abs(slope - right) <= limits.slope * abs(right) + limits.slope_noise * unit:
                raise PredictorCheckError(
                    check="gradient",
                    subject=f"the slope of {name} along {path.kind}, by its gradient,",
                    value=f"{slope:.6g}",
                    expectation=f"{right:.6g} as by finite differences",
                )
    least = (tolerances or SINGLE).least_slope
    for name, slope in largest.items():
        if not slope >= least:
            raise PredictorCheckError(
                check="gradient",
                subject=f"the largest slope of {name}",
                value=f"{slope * scale_of(name):.2g}",
                expectation=f"at least {least * scale_of(name):.2g} for an optimiser to follow",
            )


def check_soft_species(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """Mixtures of elements, up to the even one, have finite values and gradients."""
    del tolerances
    crystals = _given(predictor, crystals)
    for share in (0.01, 0.5, 1.0):
        soft = softened(crystals, predictor.elements, share)
        _require_differentiable("soft_species", predictor, soft)


def check_extrapolation(
    predictor: Predictor,
    crystals: Crystals | None = None,
    tolerances: ModelTolerance | None = None,
) -> None:
    """Cells of `EXTREME_LENGTHS` with even species have finite values and gradients."""
    del tolerances
    crystals = softened(_given(predictor, crystals), predictor.elements, share=1.0)
    cube = torch.eye(3).to(crystals.cell).expand_as(crystals.cell)
    for length in EXTREME_LENGTHS:
        far = crystals.replace(cell=length * cube)
        _require_differentiable("extrapolation", predictor, far)


CHECKS: Final[Mapping[str, Check]] = {
    "outputs": check_outputs,
    "purity": check_purity,
    "batching": check_batching,
    "atom_order": check_atom_order,
    "system_order": check_system_order,
    "origin_shift": check_origin_shift,
    "rotation": check_rotation,
    "lattice_translation": check_lattice_translation,
    "cell_choice": check_cell_choice,
    "supercell": check_supercell,
    "neighbor_skin": check_neighbor_skin,
    "cutoff": check_cutoff,
    "gradient": check_gradient,
    "soft_species": check_soft_species,
    "extrapolation": check_extrapolation,
}
"""The checks by name, in the order in which `check_predictor` runs them."""


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def _given(predictor: Predictor, crystals: Crystals | None) -> Crystals:
    return default_crystals(predictor.elements) if crystals is None else crystals


def _first_beyond(crystals: Crystals, cutoff: float) -> Tensor:
    """The least distance beyond the cutoff of two atoms in each crystal, Å, [B]."""
    neighbors = neighbor_list(crystals, cutoff, SKIN)
    distance = neighbors.vectors(crystals).norm(dim=1)
    beyond = distance > cutoff
    least = torch.full_like(crystals.volume, cutoff + SKIN)
    system = crystals.system_idx[neighbors.edge_index[0]]
    return least.scatter_reduce(0, system[beyond], distance[beyond], "amin")


def _require_differentiable(check: str, predictor: Predictor, crystals: Crystals) -> None:
    """Look for NaN and infinity in values and gradients."""
    names = ["species_probs", "frac_coords", "cell"]
    if crystals.ionic_radii is not None:
        names.append("ionic_radii")
    leaves = [vars(crystals)[name].detach().clone().requires_grad_() for name in names]
    leafy = crystals.replace(**dict(zip(names, leaves, strict=True)))
    out = predictor(leafy, neighbor_list(leafy, predictor.cutoff))
    for prop in predictor.properties:
        require_finite(check, prop, out[prop])
        gradients = torch.autograd.grad(
            out[prop].sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for name, gradient in zip(names, gradients, strict=True):
            require_finite(check, f"the gradient of {prop} in {name}", gradient)
