"""What several commands share: options and arguments, where tables go, quick imports."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

_TARGET_HELP = (
    'What is wanted, for example "band_gap = 2.5 ± 0.2" (or +-), "formation_energy < -0.5", '
    '"0.8 <= tolerance_factor <= 1.0", "maximize bulk_modulus". Repeat for several.'
)
_PREDICTOR_HELP = (
    "A name (see `smoacs predictors`) or a weights file; the built-in one if left out."
)
DEVICE_HELP = "auto, or a torch device."

Targets = Annotated[
    list[str] | None, typer.Option("--target", "-t", metavar="TARGET", help=_TARGET_HELP)
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="CIF, POSCAR, extxyz (many frames) and other structure files."
    ),
]
Conservative = Annotated[
    float | None,
    typer.Option(
        help="Standard deviations of the prediction by which targets must hold on the worse "
        "side [0]."
    ),
]
Repeat = Annotated[
    int | None, typer.Option(help="Cells of the template along each axis; 3 for 3×3×3 [1].")
]
Rest = Annotated[
    str | None,
    typer.Option(
        help="Which crystals count: minimum (at one of the predicted energy, all atoms free), "
        "symmetry (at rest within the template's symmetry) or none (any) [the first of these that "
        "predictor and constraints allow]."
    ),
]
PredictorName = Annotated[str | None, typer.Option("--predictor", help=_PREDICTOR_HELP)]
Elements = Annotated[str | None, typer.Option(help='The only elements to use, such as "K,Mg,F".')]
Forbidden = Annotated[
    str | None,
    typer.Option("--forbid", help='Elements not to use, such as "Pb,Cd" or "no-toxic".'),
]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        metavar="KIND=ELEMENTS",
        help='The only elements of a kind of site, such as "A=K,Rb"; repeat.',
    ),
]
Required = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="ELEMENT",
        help='Element that must occur, such as Li, or "B=Fe" at a site; repeat.',
    ),
]
Counts = Annotated[
    list[str] | None,
    typer.Option(
        "--count",
        metavar="ELEMENT=N",
        help='Number of atoms of an element, such as "Li=2"; repeat.',
    ),
]
Mixed = Annotated[
    bool | None,
    typer.Option(
        "--mixed/--no-mixed",
        help="Sites that symmetry makes equal may hold different elements [where what is asked for "
        "needs it, and in perovskites].",
    ),
]
MaxElements = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=N", help='Most elements at a kind of site, such as "A=1", or "all=4"; repeat.'
    ),
]
Same = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SITES", help='Sites that hold the same element, such as "X[0] X[1]", or X; repeat.'
    ),
]
Symmetry = Annotated[
    str | None, typer.Option(help="What of the symmetry stays: free, lattice, space-group [free].")
]
Frozen = Annotated[
    str | None, typer.Option(help='Kinds of sites that do not move, such as "A,X[0]".')
]
MinDistance = Annotated[
    float | None,
    typer.Option(help="Shortest distance of two atoms, as a share of the sum of their radii."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help='Any other setting, its value as in TOML, such as "lattice={a=[3.8, 4.2]}", '
        '"ratios={A={K=0.75, Na=0.25}}" or oxidation_table=smact; repeat.',
    ),
]
CsvFile = Annotated[
    Path | None, typer.Option("--out", help="CSV file; standard output if left out.")
]


def emit(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file."""
    from smoacs.files import write_file

    if out is None:
        typer.echo(text, nl=False)
    else:
        write_file(out, text)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for garbage, of which modules make none.

    torch, pandas and pymatgen make some million objects on import, and Python stops after every
    few hundred to look for unreachable ones: a quarter of the time of a short command.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
