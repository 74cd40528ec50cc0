"""The tables of arXiv:2410.08562, side by side with rivals. See `python -m benchmarks.paper -h`."""
