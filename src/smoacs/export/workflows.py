"""Calculations of many designs as one atomate2 workflow (extra `workflows`)."""

import importlib
from collections.abc import Sequence
from typing import Any

from smoacs.errors import InputError, MissingExtraError
from smoacs.export.design import Design


def relaxation_flow(designs: Sequence[Design], *, name: str = "smoacs") -> Any:  # noqa: ANN401
    """Make a jobflow `Flow`: for each design a VASP relaxation, then a static calculation.

    Both with the settings of the Materials Project (atomate2's `MPGGARelaxMaker` and
    `MPGGAStaticMaker`). Each job's metadata has the id and formula of its design. Give the flow to
    any manager of jobflow: `run_locally`, FireWorks, jobflow-remote.

    Args:
        designs: From `choose_designs`.
        name: Name of the flow.

    Raises:
        InputError: There are no designs.
        MissingExtraError: atomate2 is not installed.
    """
    if not designs:
        raise InputError("a workflow needs at least one design")
    try:
        flow = importlib.import_module("jobflow").Flow
        makers = importlib.import_module("atomate2.vasp.jobs.mp")
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(
            f"workflows need atomate2, but {error.name} is not installed", "workflows"
        ) from error
    parts = []
    for design in designs:
        bare = design.structure.copy().remove_oxidation_states()
        relax = makers.MPGGARelaxMaker().make(bare)
        static = makers.MPGGAStaticMaker().make(
            relax.output.structure, prev_dir=relax.output.dir_name
        )
        part = flow([relax, static], output=static.output, name=design.name)
        part.update_metadata({"smoacs_id": design.id, "smoacs_formula": design.formula})
        parts.append(part)
    return flow(parts, output=[part.output for part in parts], name=name)
