"""Fine-tuning of an ensemble on labelled designs, old and new, without forgetting the rest.

Heads that have no labels would drift while the gap's is trained, since they share layers with it,
and so would the gap of crystals unlike the designs. So the first weights' own predictions stand in
for what is missing (learning without forgetting, Z. Li and D. Hoiem, IEEE Trans. Pattern Anal.
Mach. Intell. 40, 2935 (2018)): of all but the gap on the labelled designs and on some that were not
labelled, and of everything on random crystals unlike them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure

from smoacs.checking.truth import GAP
from smoacs.chemistry import ELEMENTS
from smoacs.judging import evaluate_structures, is_crystal
from smoacs.learning.labelled import joined, plain_row
from smoacs.learning.replay import distant_crystals
from smoacs.learning.settings import LearnSettings
from smoacs.predictors import load_predictor
from smoacs.predictors.builtin import formula_hash, load_network
from smoacs.predictors.network import Network
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights, stack_members
from smoacs.training.checkpoint import load_state
from smoacs.training.config import DataSource, HeadSettings, TrainConfig
from smoacs.training.data import Noise
from smoacs.training.displaced.crystals import row_structure
from smoacs.training.layout import RELAXED
from smoacs.training.members import TABLE_FILE, member_file, run_members, train_member
from smoacs.training.sources import read_source
from smoacs.training.start import Start, load_start

COMPANIONS: Final = 4
"""Crystals that are trained on beside each labelled one, so that nothing is forgotten."""

MIN_COMPANIONS: Final = 200
"""At least so many, as far as there are."""

REPLAY: Final = 2
"""Random crystals for each labelled one on which the first weights' gap holds."""

MIN_REPLAY: Final = 100
"""At least so many."""

VALIDATION: Final = 200
"""Crystals of the user's data that the training's log is measured on."""

_BATCH_SIZE: Final = 16
_TRUNK_RATE: Final = 0.3
_CRYSTAL: Final = ("formula", "numbers", "frac_coords", "lattice")
_DERIVATIVES: Final = ("forces", "stress")


@dataclass(frozen=True)
class Tuning:
    """What one fine-tuning is about.

    Attributes:
        first: Weights that the learning began with: the teacher.
        start: Weights to go on from.
        labelled: All labels so far, in the training layout.
        others: Crystals of the last round that have no label.
        template: Name of the designs' template.
        settings: How to learn.
        device: Where to train.
        seed: Of all draws.
    """

    first: str
    start: str
    labelled: pd.DataFrame
    others: Sequence[Structure]
    template: str
    settings: LearnSettings
    device: str
    seed: int


def fine_tune(tuning: Tuning, out: Path, folder: Path) -> None:
    """Tune an ensemble and write its weights; a killed one goes on where it was.

    Args:
        tuning: What to do.
        out: The weights file.
        folder: For data, checkpoints and logs; made if it does not exist.

    Raises:
        InputError: The weights or the user's data are wrong.
        SmoacsError: The training fails.
    """
    first = _header_of(tuning.first)
    config = tune_config(tuning, out, first)
    start = load_start(config)
    if start is None:
        raise ValueError("a fine-tuning has weights to start from")
    folder.mkdir(exist_ok=True)
    if not (folder / TABLE_FILE).is_file():
        temporary = folder / f"{TABLE_FILE}.part"
        training_table(tuning, config, tuple(first.properties)).to_parquet(temporary)
        temporary.replace(folder / TABLE_FILE)
    largest = int(pd.read_parquet(folder / TABLE_FILE)["numbers"].map(len).max())
    config = config.model_copy(update={"max_atoms": largest})
    if tuning.settings.workers > 1:
        run_members(config, folder)
    else:
        for member in range(config.members):
            train_member(config, folder, member)
    _collect(config, folder, start, tuning)


def tune_config(tuning: Tuning, out: Path, first: WeightsHeader) -> TrainConfig:
    """The training's settings.

    Without the user's data the trunk is frozen: a few labels would pull its features to them.
    """
    settings = tuning.settings
    return TrainConfig(
        name=first.name,
        out=out,
        data=(DataSource(path=settings.data or out.with_name(TABLE_FILE)),),
        properties=tuple(first.properties),
        heads={name: HeadSettings(unit=unit) for name, unit in first.properties.items()},
        start=tuning.start,
        trunk_rate=0.0 if settings.data is None else _TRUNK_RATE,
        members=first.settings.members,
        epochs=settings.epochs,
        validations=1,
        batch_size=_BATCH_SIZE,
        learning_rate=settings.learning_rate,
        noise=Noise(share=0.0),
        seed=tuning.seed,
        device=tuning.device,
    )


def training_table(tuning: Tuning, config: TrainConfig, properties: Sequence[str]) -> pd.DataFrame:
    """Labelled crystals and their companions, in the splits "train" and "val".

    Designs count as relaxed here, so that each comes once an epoch.
    """
    rng = np.random.default_rng([tuning.seed, 2])
    number = max(MIN_COMPANIONS, COMPANIONS * len(tuning.labelled))
    labelled = _labels_of(tuning.labelled, properties)
    replay = pd.DataFrame()
    if tuning.settings.data is None:
        companions = _unlabelled(tuning.others, number, rng)
        replay = _replay(tuning, properties, rng)
        validation = pd.DataFrame()
        missing = [name for name in properties if name != GAP]
    else:
        given = read_source(config.data[0], config)
        companions = _drawn(given[given["split"] == "train"], number, rng)
        validation = _drawn(given[given["split"] == "val"], VALIDATION, rng)
        missing = [name for name in properties if name not in given or given[name].isna().all()]
    labelled = _taught(labelled, missing, tuning.first)
    companions = _taught(companions, missing, tuning.first)
    train = joined([labelled, companions, replay]).assign(split="train")
    validation = validation if len(validation) else labelled
    table = joined([train, validation.assign(split="val")])
    for name in properties:
        if name not in table:
            table[name] = np.nan
    return table


def check_data(settings: LearnSettings, first: str) -> None:
    """Check that the user's data can be read.

    Raises:
        InputError: They cannot, or have no label of any of the weights' properties.
    """
    if settings.data is not None:
        empty = pd.DataFrame()
        tuning = Tuning(first, first, empty, (), "", settings, "cpu", 0)
        config = tune_config(tuning, Path("weights.safetensors"), _header_of(first))
        read_source(config.data[0], config)


def _header_of(weights: str) -> WeightsHeader:
    return load_network(weights).header


def _labels_of(labelled: pd.DataFrame, properties: Sequence[str]) -> pd.DataFrame:
    columns = [*_CRYSTAL, *_DERIVATIVES, *properties]
    found = labelled[[name for name in columns if name in labelled]]
    return found.assign(kind=RELAXED)


def _unlabelled(
    structures: Sequence[Structure], number: int, rng: np.random.Generator
) -> pd.DataFrame:
    crystals = [structure for structure in structures if is_crystal(structure)]
    drawn = np.sort(rng.permutation(len(crystals))[:number])
    return pd.DataFrame([plain_row(crystals[k]) for k in drawn]).assign(kind=RELAXED)


def _replay(tuning: Tuning, properties: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    """Random crystals unlike the designs, with all that the first weights say of them.

    Only of elements that they know: of others they say nothing.
    """
    formulas = list(dict.fromkeys(tuning.labelled["formula"]))
    number = max(MIN_REPLAY, REPLAY * len(tuning.labelled))
    known = frozenset(_header_of(tuning.first).elements)
    crystals = distant_crystals(number, formulas, tuning.template, rng, elements=known)
    rows = _unlabelled(crystals, number, rng)
    return _taught(rows, properties, tuning.first).dropna(subset=list(properties))


def _drawn(rows: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    drawn = np.sort(rng.permutation(len(rows))[:number])
    return rows.iloc[drawn].reset_index(drop=True)


def _taught(rows: pd.DataFrame, missing: Sequence[str], teacher: str) -> pd.DataFrame:
    """The rows with the teacher's predictions as labels of the missing properties."""
    if rows.empty or not missing:
        return rows
    structures = [row_structure(row) for row in rows.itertuples()]
    values = evaluate_structures(structures, load_predictor(teacher, device="cpu"))
    return rows.assign(**{name: values[name] for name in missing})


def _collect(config: TrainConfig, folder: Path, start: Start, tuning: Tuning) -> None:
    """Stack the members and write the weights, with the start's spread, readouts and domain."""
    networks = []
    for member in range(config.members):
        network = Network(
            replace(start.header.settings, members=1), config.properties, start.header.log10
        )
        network.load_state_dict(load_state(member_file(folder, member))["average"])
        networks.append(network)
    ensemble = stack_members(networks)
    finished = load_network(tuning.start).network
    ensemble.spread = finished.spread
    ensemble.readouts, ensemble.read_out = finished.readouts, finished.read_out
    labelled = tuning.labelled
    elements = {ELEMENTS[z - 1] for numbers in labelled["numbers"] for z in numbers}
    header = replace(
        start.header,
        settings=ensemble.settings,
        elements=tuple(e for e in ELEMENTS if e in elements.union(start.header.elements)),
        training_data=(*_header_of(tuning.first).training_data, _source(labelled)),
        metrics={},  # measured on the weights before
    )
    hashes = {formula_hash(formula) for formula in labelled["formula"]}
    hashes |= set(start.formulas.tolist())
    save_weights(config.out, ensemble, header, torch.tensor(sorted(hashes), dtype=torch.int64))


def _source(labelled: pd.DataFrame) -> str:
    counts = labelled["band_gap_scale"].value_counts()
    text = "; ".join(f"{number} by {scale}" for scale, number in counts.items())
    return f"designs labelled while learning: {text}"
