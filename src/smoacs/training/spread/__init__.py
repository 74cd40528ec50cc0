"""What a finished network is given: its spread, calibrated, and readouts of rare properties."""
