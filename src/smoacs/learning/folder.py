"""The folder of a learning: what each round leaves, in an order that survives a kill.

- `learn.json`: settings that all rounds share;
- `labels.jsonl`: every calculation, a line each, written at once;
- `labelled.parquet`: all labels so far, in the training layout;
- `rounds.csv`: a line of numbers for each round;
- `weights.safetensors`: the last weights;
- `round_0`, ...: `run`, `chosen.csv`, `designs.csv`, `labels.parquet`, `training`,
  `weights.safetensors` and, last of all, `round.json`;
- `lock`: held by the process that works here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from smoacs.errors import InputError
from smoacs.files import clear_leftovers, locked, new_file, write_file
from smoacs.learning.labelled import joined
from smoacs.learning.numbers import RoundNumbers
from smoacs.request import DesignConfig
from smoacs.results import read_table

_SETTINGS: Final = "learn.json"
_LOCK: Final = "lock"


class _Inside:
    """A path inside of a folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "RoundFolder | LearnFolder", _: type | None = None) -> Path:
        return folder.path / self._name


@dataclass(frozen=True)
class RoundFolder:
    """What one round leaves behind.

    Attributes:
        path: The folder.
        run: The run directory of its designs.
        chosen: Which designs are labelled.
        designs: What was predicted of them and what came out.
        labels: Their labels in the training layout.
        weights: The weights after the round.
        training: Data, checkpoints and logs of the fine-tuning.
        numbers: The numbers; the round is complete when they are there.
    """

    path: Path
    run = _Inside("run")
    chosen = _Inside("chosen.csv")
    designs = _Inside("designs.csv")
    labels = _Inside("labels.parquet")
    weights = _Inside("weights.safetensors")
    training = _Inside("training")
    numbers = _Inside("round.json")


@dataclass(frozen=True)
class LearnFolder:
    """What all rounds leave behind.

    Attributes:
        path: The folder.
        labels: The cache of the calculations.
        labelled: All labels so far, in the training layout.
        rounds: The table of numbers.
        weights: The last weights.
    """

    path: Path
    labels = _Inside("labels.jsonl")
    labelled = _Inside("labelled.parquet")
    rounds = _Inside("rounds.csv")
    weights = _Inside("weights.safetensors")

    def round(self, number: int) -> RoundFolder:
        """The folder of a round."""
        return RoundFolder(self.path / f"round_{number}")

    def complete(self) -> list[RoundNumbers]:
        """Numbers of the rounds that are complete."""
        found: list[RoundNumbers] = []
        while (file := self.round(len(found)).numbers).is_file():
            found.append(RoundNumbers.from_dict(json.loads(file.read_text(encoding="utf-8"))))
        return found

    def known_formulas(self, rounds: int) -> list[str]:
        """Formulas that the first rounds have labelled, failures included."""
        tables = (read_designs(self.round(k).designs) for k in range(rounds))
        return [formula for table in tables for formula in table["formula"]]

    def verdicts(self, rounds: int) -> list[tuple[str, bool]]:
        """Formula of each design that the first rounds have labelled, and if it is confirmed."""
        return [v for k in range(rounds) for v in verdicts(read_designs(self.round(k).designs))]

    def all_labelled(self, rounds: int) -> pd.DataFrame:
        """Labels of the first rounds."""
        files = (self.round(k).labels for k in range(rounds))
        return joined(pd.read_parquet(file) for file in files)

    def write_summary(self, rounds: Sequence[RoundNumbers]) -> None:
        """Bring the files that sum up all rounds up to date."""
        write_table(self.rounds, pd.DataFrame([item.to_dict() for item in rounds]))
        write_parquet(self.labelled, self.all_labelled(len(rounds)))
        tuned = [k for k in range(len(rounds)) if self.round(k).weights.is_file()]
        if tuned:
            write_file(self.weights, self.round(tuned[-1]).weights.read_bytes())


@contextmanager
def open_folder(
    path: Path, config: DesignConfig, identity: Mapping[str, Any]
) -> Iterator[LearnFolder]:
    """Begin a learning in a folder, or go on with the one that is there.

    Raises:
        InputError: The folder holds something else or a learning with other settings, its parent
            is missing, or another process is at work there.
    """
    path = path.resolve()
    if not path.parent.is_dir():
        raise InputError(
            f"{path}: its parent folder does not exist; make it: mkdir -p {path.parent}"
        )
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; --out must name a folder, which may be a new one")
    settings = {"design": config.to_toml(), **identity}
    file = path / _SETTINGS
    clear_leftovers(path)
    if not file.is_file() and path.is_dir() and any(p.name != _LOCK for p in path.iterdir()):
        raise InputError(f"{path} holds something else; choose another folder")
    path.mkdir(exist_ok=True)
    with locked(path / _LOCK, f"{path}: another process is learning there; wait for its end"):
        if file.is_file():
            _check_same(path, json.loads(file.read_text(encoding="utf-8")), settings)
        else:
            write_file(file, json.dumps(settings, indent=1))
        yield LearnFolder(path)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    other = [name for name in now if before.get(name) != now[name]]
    if other:
        what = "settings of the design" if other[0] == "design" else repr(other[0])
        raise InputError(
            f"{path} holds a learning with other {what}; choose another folder (--out), or remove "
            "that one to start afresh"
        )


def read_designs(file: Path) -> pd.DataFrame:
    """Read a table of designs; an empty one if there is no file yet."""
    return read_table(file) if file.is_file() else pd.DataFrame(columns=["id", "formula"])


def verdicts(designs: pd.DataFrame) -> list[tuple[str, bool]]:
    """Formula of each labelled design, and whether it is confirmed."""
    if designs.empty:
        return []
    return list(zip(designs["formula"], designs["confirmed"].astype(bool), strict=True))


def write_table(file: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, as a whole or not at all."""
    write_file(file, str(table.to_csv(index=False, lineterminator="\n")))


def write_parquet(file: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file, as a whole or not at all."""
    with new_file(file) as new:
        table.to_parquet(new, index=False)
