"""Settings of `smoacs train`: what to train on, how large, how long."""

import difflib
import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smoacs.errors import InputError
from smoacs.predictors.network import NetworkSettings
from smoacs.training.data import Noise


class TrainConfig(BaseModel):
    """One ensemble: its data, its network, its budget.

    Paths are relative to the working directory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="the name in the weights' header")
    out: Path = Field(description="the weights file to write, ending in .safetensors")
    data: tuple[Path, ...] = Field(
        min_length=1, description="Parquet files in the training layout (docs/training.md)"
    )
    properties: tuple[str, ...] = Field(
        min_length=1, description="property names, such as ['formation_energy', 'band_gap']"
    )
    sources: tuple[str, ...] = Field(
        default=(), description="the data's sources and licences, in words, for the header"
    )
    max_atoms: int = Field(default=30, ge=1, description="the largest crystals to train on")
    members: int = Field(default=2, ge=1, description="networks in the ensemble")
    minutes: float = Field(
        default=60.0, gt=0, description="training time; members run side by side"
    )
    batch_size: int = Field(default=32, ge=2, description="crystals per step")
    learning_rate: float = Field(default=3e-3, gt=0, description="the largest learning rate")
    seed: int = Field(default=0, ge=0, description="seed of the first member; others count on")
    noise: Noise = Noise()
    network: NetworkSettings = NetworkSettings()

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read the settings.

        Raises:
            InputError: If the file is missing or no TOML, or a setting is unknown or wrong.
        """
        try:
            settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path} is not valid TOML: {error}") from error
        try:
            config = cls(**settings)
        except ValidationError as error:
            raise InputError(f"{path}: {_sentence(error)}") from None
        missing = [str(p) for p in config.data if not p.is_file()]
        if missing:
            raise InputError(f"{path}: there is no training data file {missing[0]}")
        return config


def _sentence(error: ValidationError) -> str:
    """The first error: where, what, and what would be right."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    field = TrainConfig.model_fields.get(str(first["loc"][0]))
    if field is None:
        near = difflib.get_close_matches(where, TrainConfig.model_fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown setting {where!r}{hint}"
    return f"{where}: {first['msg']} (it must be {field.description or 'right'})"
