import torch

from smoacs.chemistry import N_ELEMENTS
from smoacs.search.gradient.moves import composition_key, composition_keys


def test_keys_tell_compositions_apart_and_nothing_else():
    rows = torch.tensor([[7, 8, 7], [8, 7, 7], [8, 8, 7], [7, 7, 8]])
    keys = composition_keys(rows)
    assert keys[0] == keys[1] == keys[3]
    assert keys[2] != keys[0]
    assert keys[0] == composition_key(torch.bincount(rows[0], minlength=N_ELEMENTS).tolist())
