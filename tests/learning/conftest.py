"""Tiny weights that see a band gap by composition, and truths that differ from it."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from smoacs.chemistry import ELEMENTS
from smoacs.dft import DftLabel, DftSettings, DftValues, LabelProgress, plan_calculation
from smoacs.dft.labels import open_labels
from smoacs.judging import element_counts
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights
from smoacs.request import DesignConfig

SIZES = NetworkSettings(
    cutoff=3.0, channels=4, moment_channels=2, hidden=8, layers=1, radial=4, moment_radial=3
)
GAPS = {
    "K": 4.0,
    "Rb": 3.0,
    "Cs": 2.0,
    "Mg": 6.0,
    "Ca": 5.0,
    "Sr": 3.5,
    "Zn": 1.5,
    "F": 8.0,
    "Cl": 5.0,
    "Br": 3.0,
    "I": 1.0,
}
"""eV; the gap that the weights predict is their mean over the atoms."""

TRUE_GAPS = GAPS | {"F": 9.5, "Cl": 7.0, "Br": 6.0, "I": 4.5}
"""What holds in truth: the weights see the gaps of halides 1 to 2 eV too small."""


def save_toy_weights(path, *, properties=("band_gap", "formation_energy"), members=2):
    torch.manual_seed(1)
    network = Network(dataclasses.replace(SIZES, members=members), properties)
    with torch.no_grad():
        for head in (network.site_head, network.pool_head):
            head.second.weight.zero_()
        for k, name in enumerate(properties):
            for symbol, gap in GAPS.items():
                value = gap if name == "band_gap" else -1.0
                network.element_shift[:, ELEMENTS.index(symbol), k] = value
    spread = torch.linspace(-0.01, 0.01, members)[:, None, None]
    network.element_shift.data += spread * torch.rand(len(ELEMENTS))[:, None]
    header = WeightsHeader(
        name="toy",
        settings=network.settings,
        properties=dict.fromkeys(properties, "eV") | {"formation_energy": "eV/atom"}
        if "formation_energy" in properties
        else dict.fromkeys(properties, "eV"),
        elements=tuple(ELEMENTS[:83]),  # of those without a gap above it says 0
        training_data=("made up",),
    )
    save_weights(path, network, header, torch.tensor([], dtype=torch.int64))
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    return save_toy_weights(tmp_path_factory.mktemp("weights") / "toy.safetensors")


@pytest.fixture(scope="session")
def config(weights):
    return DesignConfig(
        targets=("band_gap = 5 ± 0.2",),
        n=24,
        steps=8,
        seed=3,
        predictor=str(weights),
        device="cpu",
        elements=tuple(GAPS),
        rest="symmetry",
    )


def values(gap, n_atoms):
    return DftValues(
        band_gap=float(gap),
        band_gap_direct=float(gap),
        energy_per_atom=-1.0,
        pressure=2.0,
        stress=(-2.0, -2.0, -2.0, 0.0, 0.0, 0.0),
        forces=((0.0, 0.0, 0.1),) * n_atoms,
        max_force=0.1,
        magnetic_moment=0.0,
        spin_polarized=False,
        hubbard_u={},
        cutoff=500.0,
        kpoints=(4, 4, 4),
        iterations=9,
        engine="toy 1",
    )


class ToyOracle:
    """Knows the truth at once; keeps its labels in the cache as the real one does."""

    def __init__(self, gaps=TRUE_GAPS, *, fails=(), seconds=36.0):
        self.gaps, self.fails, self.seconds = gaps, fails, seconds
        self.calculated = []
        self.log, self.delay = None, 0.0

    def __call__(self, structures, settings=None, *, cache, workers=1, progress=None):
        del workers
        settings = settings or DftSettings()
        with open_labels(Path(cache)) as file:
            keys = [plan_calculation(s, settings).key for s in structures]
            for done, (key, structure) in enumerate(zip(keys, structures, strict=True), start=1):
                if key not in file.records:
                    time.sleep(self.delay)
                    file.append(key, self._label(structure, key, settings))
                    if self.log is not None:
                        with self.log.open("a") as log:
                            log.write(f"{key}\n")
                if progress is not None:
                    progress(
                        LabelProgress(
                            done=done,
                            total=len(keys),
                            failed=0,
                            cached=0,
                            seconds_left=None,
                            label=file.records[key],
                        )
                    )
            return [file.records[key] for key in keys]

    def _label(self, structure, key, settings):
        formula = structure.composition.reduced_formula
        self.calculated.append(formula)
        counts = element_counts(structure)
        failed = bool(set(self.fails) & set(counts))
        gap = np.average([self.gaps[e] for e in counts], weights=list(counts.values()))
        return DftLabel(
            key=key,
            settings=settings.key,
            results=None if failed else values(gap, len(structure)),
            failure="not self-consistent" if failed else "",
            seconds=self.seconds,
        )
