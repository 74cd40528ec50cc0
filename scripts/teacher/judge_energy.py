"""Hold an energy against the teacher on the held-out crystals: where they settle, and soft modes.

    python scripts/teacher/judge_energy.py data/teacher_labels --predictor mp2018 \
        runs/settle.safetensors --teacher nequix-oam-1-pft.nqx --out runs/judged.json

For each held-out crystal (see `data/teacher_labels/README.md`) the same start is relaxed freely by
the predictor, and the end labelled by the teacher and compared with the teacher's own. Parent and
end are brought to rest on the predictor's energy, and the sign of their lowest frequencies is
compared with the teacher's (threshold -0.1 THz).
"""

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ase
import numpy as np
import pandas as pd
import torch
from distortions import repeats
from families import MAX_PHONON_ATOMS, PARENT_FORCE, SUPERCELL, UNSTABLE, settle_end
from label_table import row_atoms
from phonon_modes import modes
from potential import Labels, Potential
from relaxer import Relaxation, relax

from smoacs.crystals import Crystals
from smoacs.evaluation import Evaluator
from smoacs.predictors import ENERGY, load_predictor
from smoacs.relaxation.structures import EnergyPotential

log = logging.getLogger("judge_energy")

SETS: Final = ("held-out-perovskites", "held-out-database")
MAX_STEPS: Final = 400
MAX_FORCE: Final = 0.005
"""eV/Å, of the free relaxations, as the teacher's were."""

CLOSE_ENERGY: Final = 0.01
"""eV/atom."""

CLOSE_VOLUME: Final = 0.02


class Judged:
    """A predictor's energy as the teacher's programs call it."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Take an evaluator of the formation energy."""
        self._potential = EnergyPotential(evaluator)

    def __call__(self, crystals: Sequence[ase.Atoms]) -> list[Labels]:
        """Labels in the crystals' order."""
        batch = Crystals(
            species_probs=torch.nn.functional.one_hot(
                torch.tensor(np.concatenate([c.numbers for c in crystals]).astype(int) - 1), 98
            ).double(),
            frac_coords=torch.tensor(
                np.concatenate([c.get_scaled_positions(wrap=False) for c in crystals])
            ),
            cell=torch.tensor(np.stack([c.cell.array for c in crystals])),
            system_idx=torch.repeat_interleave(
                torch.arange(len(crystals)), torch.tensor([len(c) for c in crystals])
            ),
        )
        found = self._potential(batch)
        ends = np.cumsum([len(c) for c in crystals])[:-1]
        forces = np.split(found.forces.double().numpy(), ends)
        parts = zip(found.energy.tolist(), forces, found.stress.double().numpy(), strict=True)
        return [Labels(energy, f, s) for energy, f, s in parts]


def lowest(atoms: ase.Atoms, potential: Judged) -> float:
    """Lowest commensurate frequency, THz; NaN if the supercell is too large."""
    counts = repeats(atoms, SUPERCELL)
    if len(atoms) * int(np.prod(counts)) > MAX_PHONON_ATOMS:
        return float("nan")
    return modes(atoms, counts, potential).lowest


@dataclass(frozen=True)
class HeldOut:
    """Crystals that nothing was taught by.

    Attributes:
        families: A row for each, with the teacher's frequencies.
        frames: Of each family its frames, the last of each kind, by kind.
    """

    families: pd.DataFrame
    frames: dict[str, pd.DataFrame]

    @classmethod
    def read(cls, folder: Path, stream: str, limit: int) -> "HeldOut":
        """The first crystals of a stream that have a start and an end."""
        tables = [
            pd.concat(
                [pd.read_parquet(p) for p in sorted(folder.glob(f"{stream}-{kind}-*.parquet"))]
            )
            for kind in ("families", "frames")
        ]
        of_kinds = {
            name: group.groupby("kind").last() for name, group in tables[1].groupby("family")
        }
        whole = {
            name: kinds
            for name, kinds in of_kinds.items()
            if {"start", "free-end", "parent"} <= set(kinds.index)
        }
        families = tables[0]
        families = families[(families["status"] == "done") & families["family"].isin(whole)]
        return cls(families.head(limit), whole)

    def frame(self, family: str, kind: str) -> Any:  # noqa: ANN401 - a row of a table
        """A frame of a family."""
        return self.frames[family].loc[kind]


def judge(held_out: HeldOut, own: Judged, teacher: Potential) -> pd.DataFrame:
    """A row for each held-out crystal."""
    families = list(held_out.families.itertuples())
    starts = [row_atoms(held_out.frame(row.family, "start")) for row in families]
    runs = relax(own, starts, max_steps=MAX_STEPS, max_force=MAX_FORCE)
    rows: list[dict[str, Any]] = []
    for family, run in zip(families, runs, strict=True):
        row = {
            "family": family.family,
            "formula": family.formula,
            "teacher_parent": family.parent_frequency,
            "teacher_end": family.end_frequency,
            "parent_frequency": float("nan"),
            **compared(run, held_out.frame(family.family, "free-end"), own, teacher),
        }
        parent = row_atoms(held_out.frame(family.family, "parent"))
        (rest,) = relax(own, [parent], max_steps=120, max_force=PARENT_FORCE)
        if rest.frames:
            row["parent_frequency"] = lowest(rest.end.atoms, own)
        rows.append(row)
        log.info("%s", json.dumps(row))
    return pd.DataFrame(rows)


def compared(
    run: Relaxation,
    theirs: Any,  # noqa: ANN401 - a row of a table
    own: Judged,
    teacher: Potential,
) -> dict[str, Any]:
    """Where the predictor's relaxation ended, by the teacher, against the teacher's own end."""
    volume = row_atoms(theirs).get_volume()
    if run.failure or not run.frames:
        return {"failure": run.failure or "broken"}
    (label,) = teacher([run.end.atoms])
    end = settle_end(run, own)
    return {
        "failure": "",
        "steps": run.steps,
        "energy_off": label.energy / len(run.end.atoms) - float(theirs.energy_per_atom),
        "volume_ratio": run.end.atoms.get_volume() / volume,
        "end_frequency": lowest(end.atoms, own),
    }


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Shares that the table's rows reach."""
    off = table["energy_off"].fillna(np.inf)
    volume = (table["volume_ratio"].fillna(np.inf) - 1).abs()
    signs = {}
    for kind in ("parent", "end"):
        ours, theirs = table[f"{kind}_frequency"], table[f"teacher_{kind}"]
        known = ours.notna() & theirs.notna()
        right = (ours[known] > UNSTABLE) == (theirs[known] > UNSTABLE)
        signs[f"{kind}_sign_right"] = [int(right.sum()), int(known.sum())]
    return {
        "crystals": len(table),
        "energy_within_10_meV": round(float((off < CLOSE_ENERGY).mean()), 3),
        "median_energy_off": round(float(off.median()), 4),
        "volume_within_2_percent": round(float((volume < CLOSE_VOLUME).mean()), 3),
        **signs,
    }


def card(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A table in Markdown: what was measured of each predictor on each set."""
    head = (
        *("held out", "energy", "settles within 10 meV/atom", "median", "volume within 2 %"),
        *("sign of parents' lowest frequency", "of ends'"),
    )
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
    for stream in SETS:
        for name, sets in found.items():
            row = sets[stream]
            signs = [row[f"{kind}_sign_right"] for kind in ("parent", "end")]
            cells = [
                f"{row['crystals']} {stream.removeprefix('held-out-')}",
                f"`{name}`",
                f"{row['energy_within_10_meV']:.0%}",
                f"{1000 * row['median_energy_off']:.1f} meV/atom",
                f"{row['volume_within_2_percent']:.0%}",
                *(f"{right} of {known}" for right, known in signs),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Judge both sets by each predictor."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("labels", type=Path, help="folder of shards")
    parser.add_argument("--predictor", nargs="+", required=True, help="names or weights files")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    teacher = Potential(args.teacher)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in args.predictor:
        with Evaluator(load_predictor(name), (ENERGY,), threads=1) as evaluator:
            own = Judged(evaluator)
            sets = found.setdefault(Path(name).stem, {})
            for stream in SETS:
                table = judge(HeldOut.read(args.labels, stream, args.limit), own, teacher)
                rows = args.out.with_name(f"{args.out.stem}-{Path(name).stem}-{stream}.csv")
                table.to_csv(rows, index=False)
                sets[stream] = summary(table)
                log.info("%s, %s: %s", name, stream, json.dumps(sets[stream]))
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    log.info("\n%s", card(found))


if __name__ == "__main__":
    main()
