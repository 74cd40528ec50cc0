"""What an exhaustive search hands over to settling: many more crystals than it is asked for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from smoacs.request import DesignConfig
from smoacs.search.exhaustive.findings import Found
from smoacs.search.settling.pool import PropertiesOf
from smoacs.search.settling.reach import within_reach
from smoacs.targets import Targets


class Handover:
    """A wish for parents: all that settling may bring to the targets.

    Attributes:
        n: Most parents.
        targets: That hold for all that may meet the given ones after settling.
    """

    def __init__(self, n: int, config: DesignConfig, properties: PropertiesOf) -> None:
        """Of a config, n parents."""
        self.n = n
        self.targets = within_reach(config.wanted, properties.moved)

    def of(self, config: DesignConfig) -> DesignConfig:
        """The settings of a search for the pool."""
        return config.model_copy(update={"n": self.n, "targets": self.targets.each})

    @staticmethod
    def counted(found: Found, wanted: Targets, *, complete: bool) -> Found:
        """What a search for the pool found, counted by what was asked for in the first place.

        Args:
            found: By the wider targets.
            wanted: The targets.
            complete: Whether everything was gone through.
        """
        table = found.decorations
        names = [name for name in table if pd.api.types.is_float_dtype(table[name])]
        values = {str(name): torch.from_numpy(table[name].to_numpy(copy=True)) for name in names}
        met = table["met"].to_numpy() & wanted.met(values).numpy()
        formulas = {tuple(sorted(sites.split())) for sites in table["sites"][met]}
        return replace(
            found,
            decorations=table.assign(met=met),
            successes=int(np.count_nonzero(met)),
            distinct=len(formulas),
            end="" if complete else found.end,
        )
