"""Fitting the built-in predictors."""

from smoacs.training.run import train_from_config

__all__ = ["train_from_config"]
