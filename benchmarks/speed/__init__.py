"""What a step of the search costs beside the predictor. See `python -m benchmarks.speed -h`."""
