"""Large cells choose their elements together while they are soft."""

import numpy as np
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.search.gradient.shared_choices import with_shared_choices
from smoacs.templates import perovskite


def test_many_sites_of_a_kind_choose_together():
    template = perovskite(3)
    space = DesignSpace.from_templates([template] * 4)
    shared = with_shared_choices(space, template, torch.Generator().manual_seed(0))
    candidates = Candidates.start(shared, torch.Generator().manual_seed(0), score_noise=1.0)
    candidates.harden()
    labels = np.array(template.site_labels)
    for row in candidates.rows:
        kinds = [len(set(row[torch.tensor(labels == kind)].tolist())) for kind in "ABX"]
        assert sorted(kinds) in ([1, 1, 1], [1, 1, 2])
    assert len({tuple(row.tolist()) for row in candidates.rows}) == 4


def test_few_sites_choose_for_themselves():
    space = DesignSpace.from_templates([perovskite()] * 4)
    assert with_shared_choices(space, perovskite(), torch.Generator()) is space
