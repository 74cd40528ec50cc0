"""List the crystals that are known, for `new formula` and `new structure` of the judge.

    python scripts/make_known_crystals.py megnet_mp2018.parquet mp_elasticity.parquet ...

Tables in the training layout, all splits; about 3 ms a crystal.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from smoacs.judging.criteria import reduced_formula
from smoacs.judging.known import FILE, crystal_key, primitive_kind

DEFAULT = Path(__file__).parents[1] / "src" / "smoacs" / "judging" / FILE


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description="List the crystals that are known.")
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=DEFAULT)
    args = parser.parse_args()
    columns = ["numbers", "frac_coords", "lattice"]
    keys = set()
    for path in args.tables:
        for row in pd.read_parquet(path, columns=columns).itertuples():
            coords = np.reshape(row.frac_coords, (-1, 3))
            lattice = Lattice.from_parameters(*row.lattice)
            structure = Structure(lattice, row.numbers.tolist(), coords)
            kind = primitive_kind(structure)
            keys.add(crystal_key(reduced_formula(structure), *(kind or (0, 0))))
    np.save(args.out, np.array(sorted(keys), dtype=np.int64))


if __name__ == "__main__":
    main()
