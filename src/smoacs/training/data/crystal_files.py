"""Training data in files of crystals with their labels: extxyz, and CSV with a column of CIFs.

An extxyz file has the labels in the comment line of each frame, `band_gap=1.2`; forces and stress
are those of ASE (eV/Å, eV/Å³). A CSV file has the crystal as the text of a CIF in the column `cif`
or `structure`, and a column for each label.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa
from pymatgen.io.ase import AseAtomsAdaptor

from smoacs.errors import InputError
from smoacs.structures import read_cif_text
from smoacs.training.data.id_prop import check_commas
from smoacs.training.layout import label_columns, layout_row

FRAMES = (".extxyz", ".xyz", ".traj", ".db")
_CIF_COLUMNS = ("cif", "structure")
_VOIGT = 6
_IDS = ("material_id", "id", "jid", "name")


def read_frames_with_labels(
    path: Path, columns: Mapping[str, str], properties: Sequence[str]
) -> pd.DataFrame:
    """Read the frames of a file as a table in the training layout.

    Args:
        path: A file that ASE reads, with labels in `Atoms.info`.
        columns: Property -> key of the comment line, where it is none of the usual ones.
        properties: The properties wanted; those that the file has come under their own names.

    Raises:
        InputError: The file cannot be read, a frame is no crystal, or no frame has a label.
    """
    try:
        frames = list(ase.io.iread(path, index=":"))
    except Exception as error:  # parsers raise whatever they like
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read training data {path}: {reason}") from error
    keys = dict.fromkeys(key for frame in frames for key in frame.info)
    found = label_columns(keys, tuple(properties), columns, f"training data {path}")
    rows = []
    for k, frame in enumerate(frames):
        where = f"training data {path}, frame {k}"
        row = _frame_row(frame, where)
        row |= {name: _number(frame.info.get(key), key, where) for name, key in found.items()}
        row["material_id"] = str(next((frame.info[i] for i in _IDS if i in frame.info), k))
        row |= {name: frame.info[name] for name in ("split", "kind") if name in frame.info}
        rows.append(row)
    return pd.DataFrame(rows)


def read_csv_with_cifs(
    path: Path, columns: Mapping[str, str], properties: Sequence[str]
) -> pd.DataFrame:
    """Read a CSV file with a column of CIF texts as a table in the training layout.

    Raises:
        InputError: The file cannot be read, has no such column, a text is no CIF of an ordered
            crystal, or a label is no number.
    """
    origin = f"training data {path}"
    try:
        with path.open(encoding="utf-8-sig") as file:
            check_commas([file.readline()], origin)
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {origin}: {error}") from error
    column = next((name for name in _CIF_COLUMNS if name in table.columns), None)
    if column is None:
        raise InputError(
            f"{origin} has no column cif with the crystals; it has {', '.join(table.columns)}"
        )
    found = label_columns(table.columns, tuple(properties), columns, origin)
    identity = next((name for name in _IDS if name in table.columns), None)
    rows = []
    for k, cells in enumerate(table.to_dict("records")):
        name = str(cells[identity]) if identity else str(k)
        where = f"{origin}, row {k} ({name})"
        try:
            row = layout_row(read_cif_text(cells[column]))
        except Exception as error:  # parsers raise whatever they like
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{where}: {reason}") from error
        row |= {label: _number(cells[key], key, where) for label, key in found.items()}
        row |= {"material_id": name} | {n: cells[n] for n in ("split", "kind") if n in cells}
        rows.append(row)
    return pd.DataFrame(rows)


def _frame_row(frame: Atoms, where: str) -> dict[str, Any]:
    if not frame.pbc.all() or not abs(frame.cell.volume) > 0:
        raise InputError(f"{where}: is no crystal: it has no cell that repeats in all directions")
    structure = AseAtomsAdaptor.get_structure(frame)
    results = {} if frame.calc is None else dict(frame.calc.results)
    forces, stress = results.get("forces"), results.get("stress")
    if stress is not None and np.shape(stress) == (_VOIGT,):
        stress = voigt_6_to_full_3x3_stress(stress)
    stress = None if stress is None else np.asarray(stress) / GPa
    return layout_row(structure, forces=forces, stress=stress)


def _number(value: object, key: str, where: str) -> float:
    text = str(value).strip()
    if value is None or text.lower() in {"", "nan", "none", "null", "na"}:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        hint = ": decimals have a point" if "," in text else ""
        raise InputError(f"{where}: {key} = {text!r} is no number{hint}") from None
