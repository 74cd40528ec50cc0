"""The paper's copy-and-mutate step (arXiv:2410.08562, section 3)."""

import torch
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import SoftCrystals
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
    soft: SoftCrystals, source: Tensor, noise: float, generator: torch.Generator
) -> Tensor:
    """Overwrite candidates by noisy copies, in place; element scores of copies become uniform.

    Args:
        soft: Candidates of one template.
        source: What each candidate becomes a copy of, [B].
        noise: Standard deviation of the noise.
        generator: Source of randomness.

    Returns:
        Which candidates were overwritten, [B] bool.
    """
    changed = source != torch.arange(len(source), device=source.device)
    soft.copy_systems(source)
    sites = changed[soft.space.system_idx]
    with torch.no_grad():
        soft.element_scores[sites] = 1.0 / N_ELEMENTS
        for tensor, rows in (
            (soft.lengths, changed),
            (soft.angles, changed),
            (soft.combination_scores, changed),
            (soft.displacements, sites),
            (soft.element_scores, sites),
        ):
            draw = torch.randn(tensor.shape, generator=generator).to(tensor)
            tensor[rows] += noise * draw[rows]
    soft.project()
    return changed
