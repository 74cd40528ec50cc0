"""Interatomic potentials that took no part in the design: batches of CHGNet, or ASE's calculators.

A potential relaxes crystals with their elements fixed, and gives forces for phonons. CHGNet
(extra `chgnet`) runs in batches through our own optimiser, which takes the path of ASE's; any other
one runs crystal by crystal through ASE's FIRE and FrechetCellFilter.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Protocol

import numpy as np
import torch
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals
from smoacs.dft import load_factory
from smoacs.errors import InputError, MissingExtraError, SmoacsError, short
from smoacs.evaluation import Evaluator, single_thread
from smoacs.judging import element_counts, is_crystal
from smoacs.predictors import Predictor
from smoacs.relaxation import FMAX, MAX_STEPS, Response, relax
from smoacs.structures import symbols

CHGNET: Final = "chgnet"
SEVENNET: Final = "sevennet"
DIEP: Final = "diep"

_SEVENNET_MODELS: Final = ("", "0", "l3i5")
"""Those that its wheel has weights for and that need no further choice; "" is 0."""

MIN_VOLUME: Final = 4.0
"""Å³ per atom. No crystal at rest is denser (see `smoacs.predictors.adapters.DENSE`), and the
angles of a denser one fill the memory."""

BATCH: Final = 32
"""Crystals relaxed together: as fast as more, and no more are done again after a kill."""


@dataclass(frozen=True)
class RelaxSettings:
    """When a relaxation ends.

    Attributes:
        fmax: Largest force at rest, eV/Å.
        max_steps: Most steps.
    """

    fmax: float = FMAX
    max_steps: int = MAX_STEPS


@dataclass(frozen=True)
class RelaxedDesign:
    """What became of one crystal.

    Attributes:
        structure: The relaxed crystal, atoms in their order, without oxidation states; None if the
            potential refused it.
        energy: eV/atom, on the potential's own scale; NaN if refused.
        steps: Steps taken.
        converged: Whether all forces fell below the threshold.
        failure: Why there is no structure; empty otherwise.
    """

    structure: Structure | None
    energy: float
    steps: int
    converged: bool
    failure: str = ""


class CheckPotential(Protocol):
    """A potential that checks designs."""

    @property
    def name(self) -> str:
        """Name and version, as it stands in the results."""
        ...

    def relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> Iterator[list[RelaxedDesign]]:
        """Relax cells and positions; yields the next few crystals, in order, as they are done."""
        ...

    def forces(self, structures: Sequence[Structure]) -> list[NDArray[np.float64]]:
        """Forces on the atoms of each structure, eV/Å, each [n, 3]."""
        ...


class BatchedPotential:
    """A differentiable energy as a potential, many crystals at once.

    Crystals that hold unknown elements, atoms on one spot or less than `MIN_VOLUME` per atom are
    refused, at the start or on their way.
    """

    def __init__(self, name: str, predictor: Predictor) -> None:
        """Take a predictor of the property `energy`, eV/atom."""
        self.name = name
        self._predictor = predictor

    def relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> Iterator[list[RelaxedDesign]]:
        """Relax in batches; see `CheckPotential`."""
        for start in range(0, len(structures), BATCH):
            yield self._relax(structures[start : start + BATCH], settings)

    def forces(self, structures: Sequence[Structure]) -> list[NDArray[np.float64]]:
        """Forces of all at once; memory is bounded by the predictor."""
        crystals = Crystals.from_structures(structures)
        forces = self(crystals).forces.double().cpu().numpy()
        return np.split(forces, np.cumsum([len(s) for s in structures])[:-1])

    @single_thread()
    def __call__(self, crystals: Crystals) -> Response:
        """Energies, forces and stresses; energy NaN for those refused (`smoacs.relaxation`)."""
        loose = crystals.volume / crystals.counts >= MIN_VOLUME
        kept = torch.nonzero(loose & crystals.finite).flatten()
        energy = torch.full((crystals.n_systems,), torch.nan, dtype=torch.float64)
        forces = torch.zeros(crystals.n_atoms, 3, dtype=torch.float64)
        stress = torch.zeros(crystals.n_systems, 3, 3, dtype=torch.float64)
        if len(kept):
            part = self._respond(crystals.select(kept))
            atoms = torch.isin(crystals.system_idx, kept)
            energy[kept], stress[kept] = part.energy.double(), part.stress.double()
            forces[atoms] = part.forces.double()
        return Response(energy, forces, stress)

    def _respond(self, crystals: Crystals) -> Response:
        # One thread: the adapters of published potentials swap parts of their models.
        with Evaluator(self._predictor, ("energy",), energy="energy", threads=1) as evaluator:
            found = evaluator.energy_slopes(crystals)
        energy = found.values["energy"] * crystals.counts
        return Response.from_gradients(energy, found.frac_grad, found.cell_grad, crystals)

    def _relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> list[RelaxedDesign]:
        failures = [self._unfit(structure) for structure in structures]
        fit = [s for s, failure in zip(structures, failures, strict=True) if not failure]
        found = iter(self._relax_fit(fit, settings) if fit else [])
        return [_refusal(failure) if failure else next(found) for failure in failures]

    def _relax_fit(
        self, structures: list[Structure], settings: RelaxSettings
    ) -> list[RelaxedDesign]:
        crystals = Crystals.from_structures(structures)
        end = relax(crystals, self, fmax=settings.fmax, max_steps=settings.max_steps)
        return [
            _refusal(f"shrank to less than {MIN_VOLUME:g} Å³/atom")
            if refused
            else RelaxedDesign(structure, energy / len(structure), steps, converged)
            for structure, energy, steps, converged, refused in zip(
                end.crystals.to_structures(),
                end.energy.tolist(),
                end.steps.tolist(),
                end.converged.tolist(),
                end.refused.tolist(),
                strict=True,
            )
        ]

    def _unfit(self, structure: Structure) -> str:
        """Why the potential cannot be asked about a structure; empty if it can."""
        if not is_crystal(structure):
            return "no crystal: atoms on one spot, or a flat cell"
        unknown = sorted(set(element_counts(structure)) - self._predictor.elements)
        if unknown:
            return f"{self.name} does not know {', '.join(unknown)}"
        if structure.volume / len(structure) < MIN_VOLUME:
            return f"less than {MIN_VOLUME:g} Å³/atom"
        return ""


class AsePotential:
    """Any ASE calculator, one crystal at a time."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        """Take a function that makes a calculator of energy, forces and stress."""
        self.name = name
        self._make = make

    def relax(
        self, structures: Sequence[Structure], settings: RelaxSettings
    ) -> Iterator[list[RelaxedDesign]]:
        """Relax each crystal; one that the calculator fails on is refused with its words."""
        for structure in structures:
            yield [self._relax(structure, settings)]

    def forces(self, structures: Sequence[Structure]) -> list[NDArray[np.float64]]:
        """Forces, crystal by crystal."""
        return [self._atoms(structure).get_forces() for structure in structures]

    def _relax(self, structure: Structure, settings: RelaxSettings) -> RelaxedDesign:
        if not is_crystal(structure):
            return _refusal("no crystal: atoms on one spot, or a flat cell")
        try:
            atoms = self._atoms(structure)
            optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
            converged = optimizer.run(fmax=settings.fmax, steps=settings.max_steps)
            energy = float(atoms.get_potential_energy()) / len(atoms)
        except Exception as error:  # noqa: BLE001 - a calculator may raise anything; it is recorded
            return _refusal(" ".join(f"{type(error).__name__}: {error}".split()))
        end = Structure(
            Lattice(atoms.cell.array),
            atoms.get_chemical_symbols(),
            atoms.get_scaled_positions(wrap=False),
        )
        return RelaxedDesign(end, energy, optimizer.get_number_of_steps(), bool(converged))

    def _atoms(self, structure: Structure) -> Atoms:
        return Atoms(
            symbols(structure),
            scaled_positions=structure.frac_coords,
            cell=structure.lattice.matrix,
            pbc=True,
            calculator=self._make(),
        )


def load_potential(name: str = CHGNET) -> CheckPotential:
    """Load the potential that checks.

    Args:
        name: "chgnet"; "sevennet" or "sevennet:l3i5"; "diep"; or "module:factory", a function
            without arguments that returns an ASE calculator.

    Raises:
        InputError: There is no such potential.
        MissingExtraError: It is not installed.
    """
    if name == CHGNET:
        from smoacs.predictors.chgnet import MODEL, load_chgnet  # noqa: PLC0415 - an extra

        return BatchedPotential(f"CHGNet {MODEL}", load_chgnet())
    if name.partition(":")[0] == SEVENNET:
        return AsePotential(*_sevennet(name.partition(":")[2]))
    if name == DIEP:
        return AsePotential(*_diep())
    if ":" in name:
        calculator = _made(name)  # what is wrong with it is better known before the work begins
        return AsePotential(name, lambda: calculator)
    raise InputError(
        f"there is no potential {name!r}; it is {CHGNET!r}, {SEVENNET!r}, {DIEP!r} or "
        "'module:factory', a function that returns an ASE calculator"
    )


def _made(name: str) -> Any:  # noqa: ANN401 - ASE's calculators have no common class
    """What the user's function makes: a calculator of energy, forces and stress.

    Raises:
        InputError: It is no function without arguments, fails, or makes something else.
    """
    factory = load_factory(name)
    try:
        inspect.signature(factory).bind()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name!r} is no function without arguments that returns an ASE calculator"
        ) from error
    try:
        made = factory()
    except SmoacsError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{name!r} fails with {type(error).__name__}: {error}") from error
    if not hasattr(made, "get_potential_energy"):
        raise InputError(f"{name!r} returns {short(repr(made))}, which is no ASE calculator")
    return made


def _sevennet(model: str) -> tuple[str, Callable[[], Any]]:
    if model not in _SEVENNET_MODELS:
        raise InputError(
            f"there is no potential {SEVENNET}:{model}; SevenNet's wheel has "
            f"{' and '.join(m for m in _SEVENNET_MODELS if m)}"
        )
    try:
        with _quiet_import():
            from sevenn.calculator import SevenNetCalculator  # noqa: PLC0415 - an extra

            calculator = SevenNetCalculator(f"7net-{model or '0'}", device="cpu")
    except ImportError as error:
        raise MissingExtraError.of("the potential sevennet needs SevenNet", "sevennet") from error
    return f"SevenNet-{model or '0'} ({version('sevenn')})", lambda: calculator


def _diep() -> tuple[str, Callable[[], Any]]:
    try:
        with _quiet_import():
            from diep.pretrained import make_calculator  # noqa: PLC0415 - an extra

            calculator = make_calculator()
    except ImportError as error:
        raise MissingExtraError.of("the potential diep needs DIEP", "diep") from error
    return f"DIEP r2SCAN ({version('diep')})", lambda: calculator


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Keep from users what they can do nothing about.

    Both use what torch is to lose one day, and SevenNet recommends kernels that need a GPU, while
    checks take the processor. Other warnings are shown.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="No tensor product accelerator")
        yield


def _refusal(failure: str) -> RelaxedDesign:
    return RelaxedDesign(None, float("nan"), 0, converged=False, failure=failure)
