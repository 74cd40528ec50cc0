"""The fingerprint of weights: tells weights that are as they were written from all others."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def fingerprint(tensors: Mapping[str, Tensor], decisive: str) -> str:
    """SHA-256 of what the numbers of a predictor follow from, in hexadecimal.

    Args:
        tensors: All tensors of a weights file: their names, shapes, types and bytes count.
        decisive: What else decides (`WeightsHeader.decisive`).
    """
    digest = hashlib.sha256(decisive.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
