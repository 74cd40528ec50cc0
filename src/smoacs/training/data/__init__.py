"""Crystals with labels: read from tables and other sources, split, and put into batches."""

from smoacs.training.data.batches import (
    SKIN,
    Batch,
    Dataset,
    Noise,
    build_dataset,
    element_symbols,
    make_batch,
)

__all__ = ["SKIN", "Batch", "Dataset", "Noise", "build_dataset", "element_symbols", "make_batch"]
