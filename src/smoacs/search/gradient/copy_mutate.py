"""The paper's copy-and-mutate step (arXiv:2410.08562, section 3)."""

import torch
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import Candidates
from smoacs.search.settings import CopyMutateSettings


def choose_sources(
    loss: Tensor, met: Tensor, settings: CopyMutateSettings, generator: torch.Generator
) -> Tensor:
    """Which candidate each one is to be a copy of, [B]; itself for those that stay.

    Candidates that meet all targets stay (A), and so does the best share of the rest (B). Of the
    others (C) a random share stays; each of the rest becomes a copy of a random one of A and B. A
    candidate that is not finite has infinite loss, so it is last and never copied.

    Args:
        loss: [B].
        met: Whether all targets are met, [B].
        settings: The shares.
        generator: Source of randomness.
    """
    n = len(loss)
    order = torch.argsort(torch.where(met, -torch.inf, loss), stable=True)
    n_met = int(met.sum())
    n_good = n_met + round(settings.top_share * (n - n_met))
    n_good = min(n_good, int(loss.isfinite().sum()))
    source = torch.arange(n, device=loss.device)
    if n_good == 0:
        return source
    rest = order[n_good:]
    replaced = torch.rand(len(rest), generator=generator) >= settings.keep_share
    drawn = torch.randint(n_good, (len(rest),), generator=generator).to(loss.device)
    source[rest] = torch.where(replaced.to(loss.device), order[:n_good][drawn], rest)
    return source


def copy_and_mutate(
    candidates: Candidates, source: Tensor, noise: float, generator: torch.Generator
) -> Tensor:
    """Overwrite candidates by noisy copies; element scores of copies become uniform.

    Noise is a share: of the longest length at the start, and of what angles may span.

    Args:
        candidates: Of one template.
        source: What each candidate becomes a copy of, [B].
        noise: Standard deviation of the noise.
        generator: Source of randomness.

    Returns:
        Which candidates were overwritten, [B] bool.
    """
    changed = source != torch.arange(len(source), device=source.device)
    candidates.copy_systems(source)
    sites = changed[candidates.space.system_idx]
    low, high = candidates.space.angle_bounds.unbind(1)
    units: dict[str, float | Tensor] = {
        "lengths": candidates.length_scale,
        "angles": high - low,
    }
    changes = {}
    for name in ("lengths", "angles", "combination_scores", "displacements", "element_scores"):
        tensor = candidates.variables[name].detach()
        rows = sites if len(tensor) == len(sites) else changed
        draw = noise * torch.randn(tensor.shape, generator=generator).to(tensor)
        change = draw * units.get(name, 1.0)
        if name == "element_scores":
            change = change + 1.0 / N_ELEMENTS - tensor
        changes[name] = change.where(rows.view(-1, *(1,) * (tensor.dim() - 1)), 0.0)
    candidates.move(changes)
    return changed
