"""Errors of a network on labelled crystals."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from smoacs.predictors import ENERGY
from smoacs.predictors.network import Network
from smoacs.predictors.properties import physical
from smoacs.training.data.batches import Dataset, make_batch
from smoacs.training.fitting.loss import SMALLEST, LossTerm, energy_derivatives

LOG_SUFFIX = "_log10"
OFF_SUFFIX = "_off"
MAX_DERIVATIVE_CRYSTALS = 300
"""Errors of forces and stress are measured on at most this many crystals, for speed."""


def predict_dataset(network: Network, data: Dataset, batch_size: int = 128) -> NDArray[np.float64]:
    """Mean over members of the predictions, as users see them, [n, properties]."""
    out = np.zeros(data.labels.shape)
    order = np.argsort(data.n_atoms, kind="stable")
    with torch.no_grad():
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            batch = make_batch(data, index, network.settings.cutoff).to(network.embedding.device)
            values = network(batch.crystals, batch.neighbors)
            out[index] = values.mean(0).cpu().double().numpy()
    for k, name in enumerate(network.properties):
        out[:, k] = physical(name, out[:, k])
    return out


def evaluate(network: Network, data: Dataset, leave_out: Collection[str] = ()) -> dict[str, float]:
    """Mean absolute errors: relaxed crystals by property name, others with `_off`.

    Properties that the network holds as logarithms also come with `_log10`; `forces` (eV/Å) and
    `stress` (GPa) where there are labels. Properties in `leave_out` are passed over.
    """
    out = predict_dataset(network, data)
    errors = {}
    for k, name in enumerate(network.properties):
        label = data.labels[:, k]
        known = np.isfinite(label) & (name not in leave_out)
        for suffix, mask in (("", ~data.off_equilibrium), (OFF_SUFFIX, data.off_equilibrium)):
            use = known & mask
            if use.any():
                errors[name + suffix] = float(np.abs(out[use, k] - label[use]).mean())
                if name in network.log10:
                    ratio = log10(out[use, k]) - log10(label[use])
                    errors[name + suffix + LOG_SUFFIX] = float(np.abs(ratio).mean())
    return errors | derivative_errors(network, data)


def derivative_errors(network: Network, data: Dataset) -> dict[str, float]:
    """Mean absolute errors of the first member's forces and stresses, where labelled."""
    index = np.flatnonzero(data.has_derivatives)[:MAX_DERIVATIVE_CRYSTALS]
    if ENERGY not in network.properties or len(index) == 0:
        return {}
    column = network.properties.index(ENERGY)
    errors: dict[str, list[NDArray[np.float32]]] = {"forces": [], "stress": []}
    for part in np.array_split(index, -(-len(index) // 16)):
        batch = make_batch(data, part, network.settings.cutoff).to(network.embedding.device)
        _, forces, stress = energy_derivatives(network, batch, column)
        errors["forces"].append((forces.detach() - batch.forces).abs().cpu().numpy().ravel())
        errors["stress"].append((stress.detach() - batch.stress).abs().cpu().numpy().ravel())
    means = {}
    for name, parts in errors.items():
        all_of_them = np.concatenate(parts)
        if np.isfinite(all_of_them).any():
            means[name] = float(np.nanmean(all_of_them))
    return means


def score(
    errors: Mapping[str, float], properties: Sequence[str], terms: Sequence[LossTerm]
) -> float:
    """Mean of the relaxed crystals' errors in units of the terms' scales; infinite without any.

    Terms of weight 0 do not count.
    """
    parts = [
        errors[key] / (term.scale or 1.0)
        for name, term in zip(properties, terms, strict=True)
        if term.weight > 0 and (key := name + LOG_SUFFIX if term.log10 else name) in errors
    ]
    return sum(parts) / len(parts) if parts and all(map(math.isfinite, parts)) else math.inf


def log10(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Decimal logarithm; what is not above zero counts as the smallest number."""
    logarithm: NDArray[np.float64] = np.log10(np.maximum(values.astype(float), SMALLEST))
    return logarithm
