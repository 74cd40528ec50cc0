"""Data sets of JARVIS, through jarvis-tools (extra `jarvis`).

K. Choudhary et al., npj Computational Materials 6, 173 (2020). A record holds `atoms` (lattice
matrix, coordinates, elements), an id, and the labels by JARVIS's own names, "na" where missing.
"""

import contextlib
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice

from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError, MissingExtraError
from smoacs.training.layout import label_columns

_IDS = ("jid", "id", "material_id")
_NUMBERS = {symbol: z for z, symbol in enumerate(ELEMENTS, 1)}


def read_jarvis(name: str, columns: Mapping[str, str], properties: tuple[str, ...]) -> pd.DataFrame:
    """Read a JARVIS data set as a table in the training layout; the first time it is downloaded.

    Args:
        name: As jarvis-tools calls it, such as "dft_3d" or "megnet".
        columns: Property -> JARVIS's name of it, such as "formation_energy_peratom".
        properties: The properties wanted; those that the set has come under their own names.

    Raises:
        MissingExtraError: If jarvis-tools is not installed.
        InputError: If there is no such set, it cannot be downloaded, it lacks a column, or a record
            is no crystal.
    """
    records = _download(name)
    origin = f"JARVIS set {name!r}"
    if not records:
        raise InputError(f"{origin} is empty")
    labels = label_columns(records[0], properties, columns, origin)
    identity = next((key for key in _IDS if key in records[0]), None)
    rows = []
    for k, record in enumerate(records):
        ident = str(record[identity]) if identity else str(k)
        row = {"material_id": ident, **_crystal(record, f"{origin}, {ident}")}
        row |= {p: _number(record.get(c), f"{origin}, {ident}, {c}") for p, c in labels.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _download(name: str) -> list[dict[str, Any]]:
    try:
        from jarvis.db import figshare  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise MissingExtraError.of("JARVIS data need jarvis-tools", "jarvis") from error
    try:
        with contextlib.redirect_stdout(sys.stderr):
            records: list[dict[str, Any]] = figshare.data(name)
    except ValueError as error:
        raise InputError(f"JARVIS set {name!r} cannot be had: {error}") from error
    except OSError as error:
        raise InputError(f"JARVIS set {name!r} cannot be downloaded: {error}") from error
    except zipfile.BadZipFile as error:
        raise InputError(
            f"JARVIS set {name!r} was downloaded in part only: delete it from jarvis-tools' cache"
        ) from error
    return records


def _crystal(record: Mapping[str, Any], origin: str) -> dict[str, Any]:
    try:
        atoms = record["atoms"]
        matrix = np.asarray(atoms["lattice_mat"], dtype=float).reshape(3, 3)
        coords = np.asarray(atoms["coords"], dtype=float).reshape(-1, 3)
        symbols = [str(symbol).strip() for symbol in atoms["elements"]]
        cartesian = bool(atoms.get("cartesian", False))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{origin}: its record has no crystal in 'atoms' ({error})") from error
    unknown = [symbol for symbol in symbols if symbol not in _NUMBERS]
    if unknown:
        raise InputError(f"{origin}: {unknown[0]!r} is none of the known elements")
    try:
        frac = coords @ np.linalg.inv(matrix) if cartesian else coords
    except np.linalg.LinAlgError as error:
        raise InputError(f"{origin}: its lattice encloses no volume") from error
    return {
        "n_atoms": len(symbols),
        "numbers": np.array([_NUMBERS[s] for s in symbols], dtype=np.uint8),
        "frac_coords": (frac % 1.0).astype(np.float32).ravel(),
        "lattice": np.array(Lattice(matrix).parameters, dtype=np.float32),
    }


def _number(value: object, origin: str) -> float:
    """A label; "na" and nothing are missing ones."""
    if value is None or (isinstance(value, str) and value.strip().lower() in {"na", "nan", ""}):
        return float("nan")
    try:
        return float(value)  # type: ignore[arg-type]  # whatever else it is raises
    except (TypeError, ValueError) as error:
        raise InputError(f"{origin}: {value!r} is no number") from error
