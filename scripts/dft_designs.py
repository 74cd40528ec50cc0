"""Designs that `smoacs check --dft gpaw` has labelled, as crystals of the DFT dataset."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from dft_recipes import Sample
from pymatgen.core import Structure
from rest_lengths import SITES

from smoacs import read_run
from smoacs.dft import DftLabel, read_labels
from smoacs.errors import InputError

KIND: Final = "designed"
CHECKED: Final = "checks/dft_gpaw.jsonl"
"""Where `smoacs check` keeps its labels in a run directory."""


def labelled_designs(run: Path) -> dict[str, tuple[Sample, DftLabel]]:
    """Perovskites of a run directory that have a label at the dataset's accuracy, by calculation.

    Raises:
        InputError: It is no run directory, of another kind of crystal, or without such labels.
    """
    saved = read_run(run)
    if saved.config.template != "perovskite" or saved.config.repeat != 1:
        raise InputError(f"{run} is no run of perovskites of {len(SITES)} atoms")
    labels = read_labels(run / CHECKED)
    samples = {sample.key: sample for sample in map(_sample, saved.structures.values())}
    found = {key: (sample, labels[key]) for key, sample in samples.items() if key in labels}
    if not found:
        raise InputError(f"{run} holds no perovskite that `smoacs check --dft gpaw` has labelled")
    return found


def _sample(structure: Structure) -> Sample:
    charges = [int(site.specie.oxi_state) for site in structure[:3]]
    about = {
        "kind": KIND,
        "scale": None,  # at rest on the predictor; CHGNet's lengths are not known here
        "combination": " ".join(f"{site}{q:+d}" for site, q in zip("ABX", charges, strict=True)),
        "rest_length": None,
        "mp_band_gap": None,
    }
    sample = Sample(material_id="", structure=structure, about=about)
    return replace(sample, material_id=f"design-{sample.key[:10]}")
