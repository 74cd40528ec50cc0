"""Results without repeats: every success of a run is a design of its own."""

import pandas as pd

from smoacs.judging import first_successes
from smoacs.runs.tables import rank_table, renumbered
from smoacs.search import DesignResult


def without_repeats(result: DesignResult, table: pd.DataFrame) -> tuple[DesignResult, pd.DataFrame]:
    """Leave out successes that repeat a better one, so that a run may have fewer than it was to.

    A success repeats another one that has its formula on the same template, or its formula and, by
    the judge's structure matcher, its structure on any. Failures stay: they show what was missed.
    The paper's preset keeps everything, since its success rate counts repeats.

    Args:
        result: What the search gave.
        table: The judge's verdicts, a row for each of its crystals.

    Returns:
        Both with the rows that are left, in their order, designs numbered anew.
    """
    if result.config.preset == "paper":
        return result, table
    names = [template.name for template in result.templates] or [""] * len(table)
    successes, formulas = table["success"].tolist(), table["formula"].tolist()
    designs = table["design"].tolist()
    seen: set[object] = set()
    kept = []
    for row in rank_table(table, result.config.wanted).index.tolist():
        keys = {(names[row], formulas[row]), designs[row]}
        if successes[row] and keys & seen:
            continue
        seen |= keys if successes[row] else set()
        kept.append(row)
    if len(kept) == len(table):
        return result, table
    kept.sort()
    left = table.loc[kept].reset_index(drop=True)
    left["design"] = renumbered(left["design"])
    left["unique"] = first_successes(left)
    return result.part(kept), left
