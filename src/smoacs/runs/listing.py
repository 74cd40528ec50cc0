"""What is installed, as tables for people."""

import smoacs.predictors
from smoacs.errors import InputError
from smoacs.predictors import Predictor, property_scales


def predictor_rows() -> list[tuple[str, ...]]:
    """Write a heading, and a row for each property of each installed predictor."""
    rows: list[tuple[str, ...]] = [
        ("predictor", "property", "unit", "error (MAE)", "cutoff (Å)", "elements", "scale")
    ]
    descriptors: list[tuple[str, ...]] = []
    for name in smoacs.predictors.installed_predictors():
        try:
            main_part, *others = smoacs.predictors.load_predictor(name, device="cpu").parts
        except (InputError, ImportError) as error:
            rows.append((name, f"cannot be loaded: {error}", "", "", "", "", ""))
            continue
        rows += _part_rows(name, main_part)
        descriptors = [row for part in others for row in _part_rows("(with any)", part)]
    return rows + descriptors


def _part_rows(name: str, part: Predictor) -> list[tuple[str, ...]]:
    """Write a row for each property; the error is the mean absolute one on held-out crystals.

    The scale says what the values are, such as "PBE (Materials Project; GPAW)" for a band gap.
    """
    metrics = part.header.metrics if hasattr(part, "header") else {}
    scales = property_scales(part)
    errors = {prop: f"{metric['mae']:.3g}" for prop, metric in metrics.items() if "mae" in metric}
    size = (f"{part.cutoff:g}", str(len(part.elements)))
    return [
        (name, prop, unit, errors.get(prop, ""), *size, scales.get(prop, ""))
        for prop, unit in part.properties.items()
    ]
