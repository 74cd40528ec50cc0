"""Active learning: design, label what is worth it, learn from it, and design again."""

import importlib.util
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from smoacs.checking import confirmable
from smoacs.checking.truth import GAP
from smoacs.dft import GPAW, DftSettings, engine_command, label
from smoacs.dft.gpaw_engine import INSTALL
from smoacs.errors import InputError, MissingExtraError
from smoacs.learning.folder import open_folder
from smoacs.learning.labelling import Oracle
from smoacs.learning.rounds import LearnCallback, Rounds
from smoacs.learning.settings import LearnSettings
from smoacs.learning.tune import check_data
from smoacs.predictors.builtin import BUILTIN, builtin_names, load_network
from smoacs.predictors.registry import installed_predictors
from smoacs.request import DesignConfig


@dataclass(frozen=True)
class Learned:
    """A learning at its end.

    Attributes:
        path: Its folder.
        rounds: The numbers of `RoundNumbers`, a row for each round.
        weights: The last weights; None if there was nothing to learn from.
        stopped: Why there is no other round.
    """

    path: Path
    rounds: pd.DataFrame
    weights: Path | None
    stopped: str


def learn(  # noqa: PLR0913  (one argument per setting, as on the command line)
    config: DesignConfig | str | Path,
    out: str | Path,
    *,
    rounds: int = 3,
    per_round: int = 24,
    best: float = 0.5,
    uncertain: float = 0.25,
    different: float = 0.25,
    tolerance: float = 0.5,
    core_hours: float | None = None,
    patience: int = 2,
    data: str | Path | None = None,
    epochs: int = 40,
    learning_rate: float = 1e-3,
    workers: int = 1,
    dft: str = GPAW,
    dft_settings: DftSettings | None = None,
    oracle: Oracle | None = None,
    progress: LearnCallback | None = None,
) -> Learned:
    """Teach a predictor by first principles on its own designs (docs/learning.md).

    The same call goes on with a learning that was killed. `rounds`, `core_hours`, `patience` and
    `workers` may be others then.

    Args:
        config: What to design: settings, or a TOML file of them. Each round takes another seed.
        out: The folder of the learning.
        rounds: Most rounds.
        per_round: Designs to label in each.
        best: Part of them that are the best successes.
        uncertain: Part whose predicted gap is the most uncertain.
        different: Part whose composition is the furthest from what is labelled.
        tolerance: eV that a calculated gap may be off its target.
        core_hours: CPU hours of calculations after which none begins.
        patience: Rounds without a larger confirmed share before the end.
        data: Data that the first weights were trained on, to be trained on again beside the labels.
        epochs: Passes over the data after each round.
        learning_rate: The largest.
        workers: Calculations at a time.
        dft: Engine: "gpaw", "vasp", "espresso" or "module:function".
        dft_settings: Its settings; None for the default.
        oracle: Labels structures in place of the engine; it must keep its labels in the cache
            if a learning that was killed is to lose none.
        progress: Told where the learning is.

    Raises:
        InputError: A setting is wrong, or the folder holds something else.
        MissingExtraError: The engine is not installed.
        ResourceError: Out of memory or disk; the same call goes on.
    """
    settings = LearnSettings(
        rounds=rounds,
        per_round=per_round,
        best=best,
        uncertain=uncertain,
        different=different,
        tolerance=tolerance,
        core_hours=core_hours,
        patience=patience,
        data=None if data is None else Path(data),
        epochs=epochs,
        learning_rate=learning_rate,
        workers=workers,
        dft=dft,
        dft_settings=dft_settings or DftSettings(),
    )
    design = config if isinstance(config, DesignConfig) else DesignConfig.from_toml(config)
    return run_learning(design, out, settings, oracle=oracle, progress=progress)


def run_learning(
    config: DesignConfig,
    out: str | Path,
    settings: LearnSettings,
    *,
    oracle: Oracle | None = None,
    progress: LearnCallback | None = None,
) -> Learned:
    """Learn as settings say; see `learn`."""
    asked = engine_oracle(settings.dft) if oracle is None else oracle
    first = first_weights(config)
    identity = settings.identity()
    if oracle is not None:
        identity["dft"] = "an oracle in Python"
    check_data(settings, first)
    with open_folder(Path(out), config, identity) as folder:
        rounds = Rounds(folder, config, settings, first, asked, progress)
        return Learned(folder.path, *rounds.run())


def engine_oracle(name: str) -> Oracle:
    """The oracle of an engine's name.

    Raises:
        InputError: There is no such engine.
        MissingExtraError: It is GPAW, which is not installed.
    """
    command = engine_command(name)
    if name == GPAW and importlib.util.find_spec("gpaw") is None:
        raise MissingExtraError(
            f"learning needs GPAW, which is not installed; get it with {INSTALL}"
        )
    return partial(label, engine=command)


def first_weights(config: DesignConfig) -> str:
    """Name or absolute path of the weights that a design asks for, checked.

    Raises:
        InputError: They are none that can be trained, or know no band gap, or no target is one
            that a calculated gap can confirm.
    """
    if not confirmable(config.wanted):
        raise InputError(
            "learning compares calculated band gaps with a target: add one such as "
            f"'{GAP} = 2.5 ± 0.2' or '{GAP} > 3'"
        )
    name = config.predictor or BUILTIN
    if name not in builtin_names() and name.partition(":")[0] in installed_predictors():
        raise InputError(
            f"the predictor {name!r} cannot be trained here: learning needs built-in weights or a "
            "weights file of `smoacs train`"
        )
    network = load_network(name)
    if GAP not in network.header.properties:
        raise InputError(f"the weights {name!r} predict no {GAP}, which is what learning is about")
    return name if name in builtin_names() else str(Path(name).resolve())
