"""Sites of large cells that choose their elements together while they are soft."""

from dataclasses import replace

import torch

from smoacs.crystals import DesignSpace
from smoacs.templates import Template

MANY = 12
"""Sites of one kind that choose their elements together in the soft stage."""


def with_shared_choices(
    space: DesignSpace, template: Template, generator: torch.Generator
) -> DesignSpace:
    """The space with sites of one kind that choose together, for the soft stage of large cells.

    A large crystal whose sites all choose for themselves is strained beyond what the boxes of its
    sites let it relax. Where there are many sites of a kind they choose one element together. In
    one such kind, drawn for each candidate, they are dealt at random to two sets that each choose.

    Args:
        space: Of candidates of the template.
        template: Without rules that tie sites.
        generator: Source of randomness.
    """
    kinds: dict[bytes, list[int]] = {}
    for site, label in enumerate(template.site_labels):
        kinds.setdefault(label.encode() + template.allowed[:, site].tobytes(), []).append(site)
    many = [torch.tensor(sites) for sites in kinds.values() if len(sites) >= MANY]
    if not many:
        return space
    tied_to = torch.arange(template.n_sites).repeat(space.n_systems, 1)
    for row in tied_to:
        mixed = int(torch.randint(len(many), (), generator=generator))
        for number, sites in enumerate(many):
            drawn = sites[torch.randperm(len(sites), generator=generator)]
            for group in drawn.chunk(2 if number == mixed else 1):
                row[group] = group.min()
    first = template.n_sites * torch.arange(space.n_systems)[:, None]
    return replace(space, tied_to=(tied_to + first).flatten().to(space.system_idx.device))
