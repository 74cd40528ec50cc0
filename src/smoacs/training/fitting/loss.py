"""What a prediction costs: Huber losses on properties, forces and stresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smoacs.evaluation.derivatives import GPA
from smoacs.predictors.network import Network
from smoacs.training.data.batches import Batch


@dataclass(frozen=True)
class LossTerm:
    """How one property is fitted.

    Attributes:
        scale: Errors are divided by this, in the property's unit (in decades under `log10`); None
            for `SCALE_OF_SPREAD` of the spread that the composition leaves unexplained.
        off_equilibrium: Weight of labels of crystals that are not relaxed.
        keep_on_noise: Whether the label holds for a slightly deformed crystal.
        censored: Labels of zero only ask for a prediction of zero or less (a metal's gap).
        log10: The network holds the logarithm, and errors count in it.
        weight: Weight among the properties; 0 for one that is fitted to the finished trunk.
    """

    scale: float | None = None
    off_equilibrium: float = 1.0
    keep_on_noise: bool = False
    censored: bool = False
    log10: bool = False
    weight: float = 1.0


DEFAULT_TERM = LossTerm()

LOSS_TERMS: Mapping[str, LossTerm] = {
    "formation_energy": LossTerm(scale=0.3, off_equilibrium=0.4),
    "band_gap": LossTerm(scale=0.8, keep_on_noise=True, censored=True),
    "energy_above_hull": LossTerm(scale=0.1, off_equilibrium=0.1),
    "bulk_modulus": LossTerm(scale=0.15, log10=True),
    "shear_modulus": LossTerm(scale=0.2, log10=True),
    "critical_temperature": LossTerm(scale=3.0),
}

SCALE_OF_SPREAD = 0.7
HUBER_DELTA = 0.1

FORCE_SCALE = 0.5
"""eV/Å; what a force error is divided by."""

STRESS_SCALE = 10.0
"""GPa; what a stress error is divided by."""

SMALLEST = 1e-30
"""Labels below this count as this in a logarithm."""


def with_scales(terms: Sequence[LossTerm], network: Network) -> list[LossTerm]:
    """Fill in scales that are left to the data, from the network's own output scales."""
    spread: list[float] = network.scale.tolist()
    return [
        replace(term, scale=SCALE_OF_SPREAD * s) if term.scale is None else term
        for term, s in zip(terms, spread, strict=True)
    ]


def loss_of(prediction: Tensor, batch: Batch, terms: Sequence[LossTerm]) -> Tensor:
    """Weighted Huber loss of one member's predictions; a scalar.

    Args:
        prediction: What `Network.raw` gives for one member, [B, properties].
        batch: The crystals' labels and weights.
        terms: How each property counts, with its scale.
    """
    scale = prediction.new_tensor([t.scale or 1.0 for t in terms])
    off_weight = prediction.new_tensor([t.off_equilibrium for t in terms])
    censored = torch.tensor([t.censored for t in terms], device=prediction.device)
    log10 = torch.tensor([t.log10 for t in terms], device=prediction.device)
    labels = torch.where(log10, batch.labels.clamp(min=SMALLEST).log10(), batch.labels)
    error = (prediction - labels) / scale
    error = torch.where(censored & (batch.labels <= 0), torch.relu(error), error)
    weight = batch.weights * prediction.new_tensor([t.weight for t in terms])
    weight = weight * torch.where(batch.off_equilibrium[:, None], off_weight, 1.0)
    return (huber(error) * weight).sum() / len(error)


def energy_derivatives(
    network: Network, batch: Batch, column: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Raw outputs of the first member with the forces and stresses of its energies, all in graph.

    Args:
        network: Its output `column` is the energy per atom, eV.
        batch: The crystals.
        column: The energy's place among the properties.

    Returns:
        Raw outputs [B, properties]; forces, minus the gradient of the cell's energy by Cartesian
        positions, eV/Å, [N, 3]; stresses, its gradient by symmetric strain over the volume, GPa,
        positive where the energy grows with strain, [B, 3, 3].
    """
    crystals = batch.crystals.replace(
        frac_coords=batch.crystals.frac_coords.detach().clone().requires_grad_(),
        cell=batch.crystals.cell.detach().clone().requires_grad_(),
    )
    raw = network.raw(crystals, batch.neighbors)[0]
    energy = (raw[:, column] * crystals.counts).sum()
    d_frac, d_cell = torch.autograd.grad(
        energy, [crystals.frac_coords, crystals.cell], create_graph=True
    )
    cell = batch.crystals.cell
    inverse = torch.linalg.inv(cell)[crystals.system_idx]
    forces = -torch.einsum("nij,nj->ni", inverse, d_frac)
    strain = cell.transpose(1, 2) @ d_cell
    volume = batch.crystals.volume[:, None, None]
    return raw, forces, 0.5 * GPA * (strain + strain.transpose(1, 2)) / volume


def derivative_loss(
    forces: Tensor, stress: Tensor, batch: Batch, *, force_weight: float, stress_weight: float
) -> Tensor:
    """Huber loss on those forces [N, 3] and stresses [B, 3, 3] that have labels; a scalar."""
    total = forces.new_zeros(())
    if force_weight > 0:
        zeros = forces.new_zeros(batch.crystals.n_systems)
        atoms = _misfit(forces, batch.forces, FORCE_SCALE)
        crystals = zeros.index_add(0, batch.crystals.system_idx, atoms) / batch.crystals.counts
        total = total + force_weight * crystals.mean()
    if stress_weight > 0:
        crystals = _misfit(stress.flatten(1), batch.stress.flatten(1), STRESS_SCALE)
        total = total + stress_weight * crystals.mean()
    return total


def _misfit(value: Tensor, label: Tensor, scale: float) -> Tensor:
    """Mean loss of each row, [n]; components without a label cost nothing."""
    known = torch.isfinite(label)
    error = (value - torch.where(known, label, 0.0)) / scale
    return torch.where(known, huber(error), 0.0).mean(1)


def huber(error: Tensor) -> Tensor:
    """Huber loss, elementwise, with slope 1 beyond `HUBER_DELTA`."""
    zero = torch.zeros_like(error)
    loss = torch.nn.functional.huber_loss(error, zero, reduction="none", delta=HUBER_DELTA)
    return loss / HUBER_DELTA
