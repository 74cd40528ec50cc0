"""The quick inverse hyperbolic sine, against torch's own."""

import pytest
import torch

from smoacs.predictors.network.asinh import asinh

SPREAD_OUT = torch.tensor([0.0, 1e-30, 1e-8, 1e-3, 0.1, 1.0, 30.0, 1e4, 1e18, 1e30])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_slopes(dtype):
    x = torch.cat([SPREAD_OUT, -SPREAD_OUT, torch.linspace(-5, 5, 1001)]).to(dtype)
    x.requires_grad_()
    ours, theirs = asinh(x), torch.asinh(x)
    torch.testing.assert_close(ours, theirs, rtol=4 * torch.finfo(dtype).eps, atol=0)
    slopes = (torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(*slopes, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_nan_stays():
    assert asinh(torch.tensor([torch.nan])).isnan().all()


def test_second_gradients():
    x = torch.tensor([-3.0, -0.2, 0.0, 1e-3, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(asinh, x)
    assert torch.autograd.gradgradcheck(asinh, x)
