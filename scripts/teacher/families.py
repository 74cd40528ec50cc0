"""What is labelled of one crystal: its parent, ways from distorted starts to minima, and around.

Every function takes a recipe and gives a `Family`: frames with labels, and a row for each end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import ase
import numpy as np
from compositions import Recipe
from distortions import (
    PNMA,
    REDUCED,
    SITES,
    closest,
    grown,
    idealised,
    random_tilt,
    rattled,
    reduced,
    repeats,
    shaken,
    space_group,
    strained,
    tilted,
)
from phonon_modes import Modes, modes
from pymatgen.io.ase import AseAtomsAdaptor
from relaxer import Frame, Potential, Relaxation, relax, thinned

from smoacs.judging import evaluate_structures
from smoacs.predictors import Predictor, load_predictor

MAX_FORCE: Final = 20.0
"""eV/Å; frames with more are left out."""

MIN_DISTANCE: Final = 0.45
"""Shortest distance over the sum of covalent radii of frames that are labelled."""

PARENT_FORCE: Final = 2e-3
END_FORCE: Final = 3e-3
"""eV/Å, of parents and of ends in their reduced cell."""

TOLERANCES: Final = (0.2, 0.1, 0.05, 0.02)
"""Å, by which the symmetry of an end is looked for, loosest first."""

SAME_ENERGY: Final = 5e-4
"""eV/atom, that an end may cost more in its reduced, symmetrised cell; ends closer are one."""

UNSTABLE: Final = -0.1
"""THz."""

SHAKEN: Final = 4
"""Frames of a crystal of the database."""

FAR_ABOVE_HULL: Final = 0.15
"""eV/atom."""

FAR_SHARE: Final = 0.25
"""Of the perovskites further above the hull than that, those that are relaxed freely."""

MAX_STEPS: Final = 150
SUPERCELL: Final = 7.5
"""Å, least length of supercells whose commensurate points are looked at."""

MAX_PHONON_ATOMS: Final = 200
HELD_RATTLE: Final = 0.08
"""Å, mean length of displacements in the starts of the held-out sets (0.05 Å along each axis)."""

HELD_STRAIN: Final = 0.01


@dataclass
class Family:
    """All labels of one recipe.

    Attributes:
        recipe: Its beginning.
        status: "done", or why there is nothing.
        about: Numbers of the family: energies in eV/atom, frequencies in THz.
        frames: Kind, label and number of the way of each frame.
        ends: A row for each relaxation.
    """

    recipe: Recipe
    status: str = "done"
    about: dict[str, Any] = field(default_factory=dict)
    frames: list[tuple[str, Frame, int]] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0

    def add(self, kind: str, frames: Sequence[Frame], way: int = -1) -> None:
        """Keep frames; those with huge forces are counted only."""
        for frame in frames:
            if frame.max_force < MAX_FORCE and np.isfinite(frame.labels.energy):
                self.frames.append((kind, frame, way))
            else:
                self.dropped += 1


def perovskite_family(recipe: Recipe, potential: Potential, rng: np.random.Generator) -> Family:
    """Parent, its modes, tilted frames, and two or three ways from distorted cells downhill.

    Of those whose parent the built-in predictor puts far above the hull three in four stop there.
    """
    family = Family(recipe)
    parent = _perovskite_parent(family, potential, rng)
    if parent is None:
        return family
    found = modes(parent.atoms, (2, 2, 2), potential)
    family.about["parent_frequency"] = found.lowest
    soft = _soft_frames(found, rng)
    still = [
        rattled(random_tilt(parent.atoms, rng), rng.uniform(0.02, 0.15), rng) for _ in range(8)
    ]
    family.add("mode", _labelled(potential, soft, family))
    family.add("tilted", _labelled(potential, [strained(x, 0.01, rng) for x in still], family))
    tilt = tilted(parent.atoms, PNMA, rng.uniform(5, 13) * np.ones(3), rng)
    starts = {
        "modes": strained(rattled(_softened(found, rng), 0.08, rng), 0.01, rng),
        "pnma": strained(rattled(tilt, 0.06, rng), 0.01, rng),
    }
    if rng.random() < 0.4:
        other = rattled(random_tilt(parent.atoms, rng), 0.08, rng)
        starts["tilt"] = strained(other, 0.01, rng)
    if rng.random() < 0.15:
        cell = reduced(parent.atoms, REDUCED).repeat([1, 1, int(rng.integers(1, 3))])
        starts["shaken"] = rattled(cell, 0.3, rng)
    _ways(family, starts, potential, rng)
    return family


def type_family(recipe: Recipe, potential: Potential, rng: np.random.Generator) -> Family:
    """Parent at symmetric rest, shaken frames, a way from a rattled supercell downhill.

    Of those whose parent is far above the hull three in four stop there, as with perovskites.
    """
    family = Family(recipe)
    parent = _parent(family, potential)
    if parent is None or _is_unlikely(family, parent.atoms, rng):
        return family
    cell = grown(parent.atoms, 8, 28)
    family.add("shaken", _labelled(potential, [shaken(cell, rng) for _ in range(6)], family))
    start = grown(parent.atoms, 16, 36)
    starts = {"rattled": strained(rattled(start, rng.uniform(0.05, 0.2), rng), 0.01, rng)}
    if rng.random() < 0.3:
        starts["small"] = strained(rattled(cell, 0.15, rng), 0.02, rng)
    _ways(family, starts, potential, rng)
    return family


def database_family(recipe: Recipe, potential: Potential, rng: np.random.Generator) -> Family:
    """The stored cell, the teacher's own, and shaken frames of it."""
    family = Family(recipe)
    (run,) = relax(potential, [recipe.atoms], max_steps=80)
    if not run.frames:
        family.status = run.failure
        return family
    stored, end = run.frames[0], run.end
    family.about |= {
        "stored_energy": stored.energy,
        "stored_pressure": -np.trace(stored.labels.stress) / 3.0,
        "energy": end.energy,
        "volume_ratio": end.atoms.get_volume() / stored.atoms.get_volume(),
        "max_force": end.max_force,
        "converged": run.converged,
    }
    family.add("stored", [stored])
    family.add("relaxed", [end])
    cell = grown(end.atoms, 4, 20)
    frames = [shaken(cell, rng) for _ in range(SHAKEN)]
    family.add("shaken", _labelled(potential, frames, family))
    return family


def held_out_perovskite(recipe: Recipe, potential: Potential, rng: np.random.Generator) -> Family:
    """Parent and its phonons; a rattled 2×2×2 cell, where it ends, and the end's phonons."""
    family = Family(recipe)
    parent = _perovskite_parent(family, potential, rng)
    if parent is None:
        return family
    family.about["parent_frequency"] = _lowest(parent.atoms, potential)
    _judged(family, parent.atoms.repeat(2), potential, rng)
    return family


def held_out_crystal(recipe: Recipe, potential: Potential, rng: np.random.Generator) -> Family:
    """The teacher's own cell and its phonons; a rattled supercell, where it ends, its phonons."""
    family = Family(recipe)
    parent = _parent(family, potential)
    if parent is None:
        return family
    family.about["volume_ratio"] = parent.atoms.get_volume() / recipe.atoms.get_volume()
    family.about["parent_frequency"] = _lowest(parent.atoms, potential)
    _judged(family, grown(parent.atoms, 16, 40), potential, rng)
    return family


def _parent(family: Family, potential: Potential) -> Frame | None:
    """Rest in the symmetry of the recipe: forces know no other."""
    atoms = family.recipe.atoms
    if closest(atoms) < MIN_DISTANCE:
        family.status = "atoms too close"
        return None
    (run,) = relax(potential, [atoms], max_steps=120, max_force=PARENT_FORCE)
    if run.failure or not run.frames or run.end.max_force > 0.02:
        family.status = run.failure or "parent finds no rest"
        return None
    parent = run.end
    family.about |= {
        "parent_energy": parent.energy,
        "parent_volume": parent.atoms.get_volume() / len(parent.atoms),
        "parent_space_group": space_group(parent.atoms, 0.01),
    }
    places = thinned(run.frames, 3)[:-1]
    family.add("parent-way", [run.frames[k] for k in places])
    family.add("parent", [parent])
    return parent


def _perovskite_parent(
    family: Family, potential: Potential, rng: np.random.Generator
) -> Frame | None:
    """The parent at rest; None, with the family's status saying why, where it is left alone."""
    parent = _parent(family, potential)
    if parent is None:
        return None
    if not _is_perovskite(parent.atoms):
        family.status = "parent leaves its sites"
        return None
    return None if _is_unlikely(family, parent.atoms, rng) else parent


def _is_perovskite(parent: ase.Atoms) -> bool:
    """Whether the atoms of a cell of five are on their sites still, in a box."""
    off = parent.get_scaled_positions(wrap=False) - SITES
    off -= off.mean(axis=0)
    right = np.abs(parent.cell.angles() - 90.0).max() < 1.0
    return right and float(np.abs(off).max()) < 0.02


def _is_unlikely(family: Family, parent: ase.Atoms, rng: np.random.Generator) -> bool:
    """Whether a parent is left alone: far above the hull, and not drawn all the same."""
    above = hull_energy(parent)
    family.about["parent_above_hull"] = above
    if above > FAR_ABOVE_HULL and rng.random() > FAR_SHARE:
        family.status = "unlikely"
        return True
    return False


def hull_energy(atoms: ase.Atoms) -> float:
    """Energy above the hull (eV/atom) by the package's built-in predictor."""
    values = evaluate_structures([AseAtomsAdaptor.get_structure(atoms)], _predictor())
    return float(values["energy_above_hull"][0])


@cache
def _predictor() -> Predictor:
    return load_predictor(device="cpu")


def _soft_frames(found: Modes, rng: np.random.Generator) -> list[ase.Atoms]:
    """Displacements along the softest modes, and along blends of them, of several amplitudes."""
    frames = []
    second = int(np.argmax(found.frequencies > found.frequencies[0] + 0.05))
    for place in dict.fromkeys([0, second]):
        frames += [reduced(_moved(found, {place: size}), REDUCED) for size in (0.06, 0.18, 0.4)]
    for _ in range(2):
        blend = {int(k): rng.normal(0.0, 0.2) for k in rng.integers(0, 12, size=4)}
        frames.append(reduced(_moved(found, blend), REDUCED))
    return frames


def _softened(found: Modes, rng: np.random.Generator) -> ase.Atoms:
    """The supercell, displaced along up to four unstable modes."""
    unstable = np.flatnonzero(found.frequencies < UNSTABLE)[:12]
    chosen = rng.permutation(unstable)[:4]
    sizes = rng.uniform(0.1, 0.4) * rng.normal(size=len(chosen))
    return _moved(found, dict(zip(chosen.tolist(), sizes.tolist(), strict=True)))


def _moved(found: Modes, amplitudes: dict[int, float]) -> ase.Atoms:
    """The supercell with modes displaced by these amplitudes (Å) of their foremost atom."""
    atoms = found.supercell.copy()
    for place, amplitude in amplitudes.items():
        atoms.positions += amplitude * found.vectors[place]
    return atoms


def _labelled(potential: Potential, crystals: Sequence[ase.Atoms], family: Family) -> list[Frame]:
    """Frames of those crystals that have no atoms too close."""
    kept = [atoms for atoms in crystals if closest(atoms) > MIN_DISTANCE]
    family.dropped += len(crystals) - len(kept)
    return [Frame(a, b) for a, b in zip(kept, potential(kept), strict=True)] if kept else []


def _ways(
    family: Family, starts: dict[str, ase.Atoms], potential: Potential, rng: np.random.Generator
) -> None:
    """Relax starts; keep what differs on the way, the ends once each, and frames around these."""
    names = [name for name, atoms in starts.items() if closest(atoms) > MIN_DISTANCE]
    runs = relax(potential, [starts[name] for name in names], max_steps=MAX_STEPS)
    settled: list[Frame] = []
    for number, (name, run) in enumerate(zip(names, runs, strict=True)):
        if run.failure or not run.frames:
            family.ends.append({"start": name, "failure": run.failure or "broken"})
            continue
        places = thinned(run.frames)
        family.add("start", [run.frames[0]], number)
        if len(places) > 2:
            family.add("way", [run.frames[k] for k in places[1:-1]], number)
        end = settle_end(run, potential)
        same = next((k for k, other in enumerate(settled) if _same(end, other)), None)
        place = len(settled) if same is None else same
        family.ends.append({"start": name} | _end_row(run, end, family, place))
        if same is None:
            settled.append(end)
            family.add("end", [end], number)
    if settled:
        settled.sort(key=lambda frame: frame.energy)
        family.about["end_energy"] = settled[0].energy
        family.about["energy_gain"] = family.about["parent_energy"] - settled[0].energy
        around = [
            shaken(grown(frame.atoms, 8, 40), rng)
            for number, frame in enumerate(settled)
            for _ in range(2 if number else 6)
        ]
        family.add("around", _labelled(potential, around, family))


def settle_end(run: Relaxation, potential: Potential) -> Frame:
    """An end in the smallest cell, of the highest symmetry, that costs next to nothing."""
    end = run.end
    for symprec in TOLERANCES:
        cell = idealised(end.atoms, symprec)
        if cell is None or len(cell) > len(end.atoms):
            continue
        first = Frame(cell, potential([cell])[0])
        if first.energy > end.energy + 0.01:
            continue
        (again,) = relax(potential, [cell], max_force=END_FORCE)
        if again.frames and again.end.energy < end.energy + SAME_ENERGY:
            return again.end
    (again,) = relax(potential, [end.atoms], max_force=END_FORCE, max_steps=60)
    return again.end if again.frames else end


def _same(one: Frame, two: Frame) -> bool:
    volumes = [frame.atoms.get_volume() / len(frame.atoms) for frame in (one, two)]
    close = abs(one.energy - two.energy) < SAME_ENERGY and abs(volumes[0] / volumes[1] - 1) < 0.005
    return close and len(one.atoms) == len(two.atoms)


def _end_row(run: Relaxation, end: Frame, family: Family, number: int) -> dict[str, Any]:
    return {
        "failure": "",
        "steps": run.steps,
        "converged": run.converged,
        "start_atoms": len(run.start),
        "start_energy": run.frames[0].energy,
        "free_energy_end": run.end.energy,
        "end": number,
        "end_atoms": len(end.atoms),
        "end_energy": end.energy,
        "end_volume": end.atoms.get_volume() / len(end.atoms),
        "end_max_force": end.max_force,
        "energy_gain": family.about["parent_energy"] - end.energy,
        **{f"space_group_{tol}": space_group(end.atoms, tol) for tol in (0.01, 0.05, 0.1)},
        "parent_space_group": family.about["parent_space_group"],
    }


def _lowest(atoms: ase.Atoms, potential: Potential) -> float:
    """Lowest frequency (THz) at the points commensurate with at least 7.5 Å; NaN if too large."""
    counts = repeats(atoms, SUPERCELL)
    if len(atoms) * int(np.prod(counts)) > MAX_PHONON_ATOMS:
        return float("nan")
    return modes(atoms, counts, potential).lowest


def _judged(
    family: Family, supercell: ase.Atoms, potential: Potential, rng: np.random.Generator
) -> None:
    """The start that is stated for the held-out sets, its end as it is and reduced, phonons."""
    start = strained(rattled(supercell, HELD_RATTLE, rng), HELD_STRAIN, rng)
    (run,) = relax(potential, [start], max_steps=400, max_force=0.005)
    if run.failure or not run.frames:
        family.status = run.failure or "broken"
        return
    end = settle_end(run, potential)
    family.add("start", [run.frames[0]], 0)
    family.add("free-end", [run.end], 0)
    family.add("end", [end], 0)
    row = {"start": "held-out"} | _end_row(run, end, family, 0)
    family.about["end_energy"] = end.energy
    family.about["energy_gain"] = row["energy_gain"]
    family.about["end_frequency"] = _lowest(end.atoms, potential)
    family.ends.append(row)
