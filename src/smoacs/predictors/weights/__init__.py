"""Weights on disk, and those that come with the package."""
