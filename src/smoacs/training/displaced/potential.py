"""Energies, forces and stresses from CHGNet 0.3.0 (extra `train`).

B. Deng et al., Nature Machine Intelligence 5, 1031 (2023); the weights are inside its PyPI wheel.
Forces are minus the gradient of the cell's energy by Cartesian positions (eV/Å); stress is the
energy's growth with strain over the volume (GPa, positive where the crystal is stretched too far),
as in ASE and in the training layout.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.predictors.chgnet import original_model

log = logging.getLogger(__name__)

MAX_LINES = 20_000
"""Bonds and angles in one batch: memory with forces and stress stays near 2 GB."""

_LOG_EVERY = 50


@dataclass(frozen=True)
class Labels:
    """What the potential says of one crystal of n atoms.

    Attributes:
        energy: eV/atom.
        forces: eV/Å, [n, 3]; None if not asked for.
        stress: GPa, [3, 3]; None if not asked for.
    """

    energy: float
    forces: NDArray[np.float32] | None = None
    stress: NDArray[np.float32] | None = None


def chgnet_labels(structures: Sequence[Structure], *, derivatives: bool) -> list[Labels]:
    """Label crystals, with forces and stresses if `derivatives`.

    Raises:
        MissingExtraError: If CHGNet is not installed.
    """
    model = original_model()
    model.graph_converter.on_isolated_atoms = "ignore"
    task: Literal["e", "efs"] = "efs" if derivatives else "e"
    labels: list[Labels] = []
    for number, graphs in enumerate(_batches(model.graph_converter, structures)):
        out: Any = model.predict_graph(graphs, task=task, batch_size=len(graphs))
        several = [out] if isinstance(out, dict) else out
        labels += [Labels(float(one["e"]), one.get("f"), one.get("s")) for one in several]
        if number % _LOG_EVERY == 0:
            log.info("labelled %d of %d", len(labels), len(structures))
    return labels


def chgnet_energies(structures: Sequence[Structure]) -> NDArray[np.float64]:
    """Energies only, eV/atom."""
    return np.array([label.energy for label in chgnet_labels(structures, derivatives=False)])


def _batches(converter: Any, structures: Sequence[Structure]) -> Iterator[list[Any]]:  # noqa: ANN401
    """Graphs in batches of at most `MAX_LINES` bonds and angles; dense crystals go alone."""
    batch: list[Any] = []
    lines = 0
    for structure in structures:
        graph = converter(structure)
        size = len(graph.atom_graph) + len(graph.bond_graph)
        if batch and lines + size > MAX_LINES:
            yield batch
            batch, lines = [], 0
        batch.append(graph)
        lines += size
    if batch:
        yield batch
