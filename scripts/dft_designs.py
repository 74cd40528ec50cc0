"""Designs that `smoacs check --dft gpaw` has labelled, as crystals of the DFT dataset."""

from collections.abc import Iterator
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


def labelled_designs(run: Path) -> Iterator[tuple[Sample, DftLabel]]:
    """Perovskites of a run directory that have a label at the dataset's accuracy, each once.

    Raises:
        InputError: It is no run directory, or none of its designs has such a label.
    """
    labels = read_labels(run / CHECKED)
    found: set[str] = set()
    for structure in read_run(run).structures.values():
        if len(structure) != len(SITES):
            continue
        sample = _sample(structure)
        if sample.key in labels and sample.key not in found:
            found.add(sample.key)
            yield sample, labels[sample.key]
    if not found:
        raise InputError(f"{run} holds no perovskite that `smoacs check --dft gpaw` has labelled")


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
