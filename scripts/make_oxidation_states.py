"""Freeze the oxidation states of the elements in src/smoacs/chemistry/oxidation_states.csv.

    python scripts/make_oxidation_states.py

Reports of each state in the ICSD as SMACT counts them (ICSD 2024), and which states the lists of
pymatgen and SMACT hold. Both packages change their lists between versions, which must not change
what a design may use: the package reads the frozen file only.
"""

import argparse
import csv
from pathlib import Path

from pymatgen.core.periodic_table import Element
from smact.data_loader import lookup_element_oxidation_states_icsd24
from smact.utils.oxidation import ICSD24OxStatesFilter

from smoacs.chemistry import ELEMENTS, MAX_CHARGE, MIN_CHARGE

DEFAULT = Path(__file__).parents[1] / "src" / "smoacs" / "chemistry" / "oxidation_states.csv"


def rows() -> list[tuple[str, int, int, int, int]]:
    """Element, state, reports, whether all four lists hold it, whether SMACT's does."""
    frame = ICSD24OxStatesFilter().ox_states_df
    columns = (frame["element"], frame["oxidation_state"], frame["results_count"])
    reports = {(str(e), int(q)): int(n) for e, q, n in zip(*columns, strict=True)}
    found = []
    for symbol in ELEMENTS:
        element = Element(symbol)
        smact = set(lookup_element_oxidation_states_icsd24(symbol) or ())
        common = (
            smact
            & set(element.icsd_oxidation_states)
            & set(element.oxidation_states)
            & set(element.common_oxidation_states)
        )
        for state in range(MIN_CHARGE, MAX_CHARGE + 1):
            count = reports.get((symbol, state), 0)
            if state and (count or state in smact):
                found.append((symbol, state, count, int(state in common), int(state in smact)))
    return found


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description="Freeze the oxidation states of the elements.")
    parser.add_argument("--out", type=Path, default=DEFAULT, help=f"[{DEFAULT.name}]")
    out = parser.parse_args().out
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("element", "state", "reports", "common", "smact"))
        writer.writerows(rows())


if __name__ == "__main__":
    main()
