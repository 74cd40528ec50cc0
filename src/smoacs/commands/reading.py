"""Structure files of a command: what can be read is used, the rest is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from smoacs.commands.bars import counted
from smoacs.commands.failures import EXIT_INPUT, say
from smoacs.errors import LONGEST, InputError, short

if TYPE_CHECKING:
    from smoacs.structures import NamedStructure

_MOST: Final = 20
"""Notes and failures that are told one by one."""

Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of the files, such as cif, poscar, extxyz, traj, espresso-in or aims "
        "[by their content].",
    ),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Do nothing if any file cannot be read, instead of all others."),
]


def read_named(
    files: Sequence[Path], form: str | None, *, strict: bool, ordered: bool = True
) -> "tuple[list[NamedStructure], int]":
    """Read all files and tell what could not be read, and what was taken for granted.

    Returns:
        The structures, and the exit code: 2 if any file, or part of one, could not be read.

    Raises:
        InputError: Nothing could be read, or with `strict` not everything.
    """
    from smoacs.structures import Reading, read_files

    reading = Reading([], [])
    with counted("reading", len(files)) as tell:
        for number, file in enumerate(files):
            found = read_files([file], form=form, ordered=ordered)
            reading.structures.extend(found.structures)
            reading.failures.extend(found.failures)
            tell(number + 1)
    failures = reading.failures
    if failures and (strict or not reading.structures):
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise InputError(f"{failures[0]}{more}")
    _tell("warning", reading.notes)
    _tell("error", failures)
    return reading.structures, EXIT_INPUT if failures else 0


def _tell(kind: str, sentences: Sequence[str]) -> None:
    for sentence in sentences[:_MOST]:
        say(f"{kind}: {short(sentence, LONGEST)}")
    if len(sentences) > _MOST:
        say(f"{kind}: and {len(sentences) - _MOST} more")
