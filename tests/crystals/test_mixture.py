"""The mixture of softmaxes, against the plain formula and torch's own gradients."""

import pytest
import torch

from smoacs.crystals import mixture
from smoacs.crystals.mixture import mixture_of_elements


def inputs(n=5, combinations=3, elements=7):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    allowed = torch.rand(n, combinations, elements, generator=generator) < 0.4
    allowed[..., 0] = True
    allowed[..., -1] = False
    weights = torch.softmax(random(n, combinations), 1).requires_grad_()
    return (10 * random(n, elements)).requires_grad_(), allowed, weights, random(*allowed.shape)


def plain(scores, allowed, weights, radii):
    q = torch.softmax(torch.where(allowed, scores.unsqueeze(1), -torch.inf), dim=2)
    probs = (weights.unsqueeze(2) * q).sum(1)
    return probs, None if radii is None else (weights * (q * radii).sum(2)).sum(1)


@pytest.mark.parametrize("numbers", [1, 45, 10_000])
@pytest.mark.parametrize("with_radii", [True, False])
def test_mixture_and_gradients(monkeypatch, numbers, with_radii):
    monkeypatch.setattr(mixture, "NUMBERS_PER_BLOCK", numbers)
    scores, allowed, weights, radii = inputs()
    radii = radii if with_radii else None
    ours, theirs = (
        [x for x in way(scores, allowed, weights, radii) if x is not None]
        for way in (mixture_of_elements, plain)
    )
    torch.testing.assert_close(ours, theirs)
    slopes = [
        torch.autograd.grad([x.sin().sum() for x in found], [scores, weights])
        for found in (ours, theirs)
    ]
    torch.testing.assert_close(*slopes)
    assert slopes[0][0].abs().max() > 1e-3


def test_forbidden_elements_are_exactly_out():
    scores, allowed, weights, radii = inputs()
    probs, radius = mixture_of_elements(scores, allowed, weights, radii)
    never = ~allowed.any(1)
    assert never.any()
    assert (probs[never] == 0).all()
    (slope,) = torch.autograd.grad(probs.square().sum() + radius.sum(), scores)
    assert (slope[never] == 0).all()


def test_second_gradients():
    scores, allowed, weights, radii = inputs(n=2, combinations=2, elements=4)
    scores = (0.1 * scores.detach()).requires_grad_()

    def mixed(scores, weights):
        return mixture_of_elements(scores, allowed, weights, radii)

    assert torch.autograd.gradgradcheck(mixed, (scores, weights))
