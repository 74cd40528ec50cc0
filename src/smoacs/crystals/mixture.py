"""The distribution of elements at each site: a mixture over combinations of oxidation numbers.

One array of sites by combinations by elements is much larger than all else that a step of the
search holds beside the predictor. So the sites are worked through in blocks that fit the caches,
and the gradient works a block's softmax out again, unless it is the only one.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

NUMBERS_PER_BLOCK = 100_000
"""So many numbers of a block fit the caches of a CPU."""

NUMBERS_PER_BLOCK_GPU = 50_000_000


def mixture_of_elements(
    scores: Tensor, allowed: Tensor, weights: Tensor, radii: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Mean over combinations of the softmaxes over the elements that each one allows.

    Differentiable in scores and weights. A forbidden element has probability exactly 0, and its
    score the gradient exactly 0.

    Args:
        scores: Of the elements, over the temperature, [N, E].
        allowed: Elements of each site under each combination, [N, K, E] bool.
        weights: Of the combinations, [N, K].
        radii: Ionic, of each element at that site under that combination, Å, [N, K, E]; None if
            unknown.

    Returns:
        Probabilities, [N, E], and expected radii, Å, [N]; None without radii.
    """
    found: tuple[Tensor, Tensor | None] = _Mixture.apply(  # type: ignore[no-untyped-call]  # torch: typed in part
        scores, weights, (allowed, radii)
    )
    return found


class _Mixture(torch.autograd.Function):
    """What `mixture_of_elements` gives, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch: typed in part
        scores: Tensor,
        weights: Tensor,
        fixed: tuple[Tensor, Tensor | None],
    ) -> tuple[Tensor, Tensor | None]:
        """Mix the softmaxes; `fixed` are what is allowed, and the radii."""
        allowed, radii = fixed
        ctx.save_for_backward(scores, weights, allowed, *([] if radii is None else [radii]))
        mixed, expected = [], []
        for sites in _blocks(allowed):
            q = _softmaxes(scores[sites], allowed[sites])
            v = weights[sites].unsqueeze(2)
            mixed.append((v * q).sum(1))
            if radii is not None:
                expected.append((v.squeeze(2) * (q * radii[sites]).sum(2)).sum(1))
        ctx.only_block = q if len(mixed) == 1 else None
        return _whole(mixed), None if radii is None else _whole(expected)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        grad: Tensor,
        grad_radius: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the scores and of the weights."""
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        scores, weights, allowed, *radii = tensors
        of_scores, of_weights = [], []
        # What was kept is no function of the scores for a second derivative.
        known = None if torch.is_grad_enabled() else ctx.only_block
        for sites in _blocks(allowed):
            q = _softmaxes(scores[sites], allowed[sites]) if known is None else known
            of_mean = grad[sites].unsqueeze(1)
            if radii and grad_radius is not None:
                of_mean = torch.addcmul(of_mean, radii[0][sites], grad_radius[sites, None, None])
            changed = q * of_mean
            of_weight = changed.sum(2)
            of_weights.append(of_weight)
            of_score = torch.addcmul(changed, q, of_weight.unsqueeze(2), value=-1)
            of_scores.append((of_score * weights[sites].unsqueeze(2)).sum(1))
        return _whole(of_scores), _whole(of_weights), None


def _softmaxes(scores: Tensor, allowed: Tensor) -> Tensor:
    """Distribution over the elements that each combination allows, [n, K, E]."""
    # 1 - 1/x is 0 at 1 and -inf at 0: added, it takes a tenth of the time of `where`.
    barred = 1 - allowed.view(torch.uint8).to(scores.dtype).reciprocal_()
    return torch.softmax(barred.add_(scores.unsqueeze(1)), dim=2)


def _whole(parts: list[Tensor]) -> Tensor:
    """What was worked out in blocks."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _blocks(allowed: Tensor) -> Iterator[slice]:
    """The sites of [N, K, E], in blocks."""
    numbers = NUMBERS_PER_BLOCK if allowed.device.type == "cpu" else NUMBERS_PER_BLOCK_GPU
    _, combinations, elements = allowed.shape
    size = max(1, numbers // max(1, combinations * elements))
    for start in range(0, len(allowed), size):
        yield slice(start, start + size)
