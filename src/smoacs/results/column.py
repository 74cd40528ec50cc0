"""What a column of a table is: one shape for the judge, the checks, runs, databases and pages."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "integer", "flag"]
"""Of the values; a flag is True or False, and empty where that is not known."""

Group = Literal["head", "property", "verdict", "geometry", "further"]
"""Where the details of a candidate list a column."""

Source = Literal["design", "relaxation", "rattled", "chemistry", "novelty", "phonons", "dft"]
"""What writes a column to results.csv: the design and its judge, or a check."""


@dataclass(frozen=True)
class Column:
    """What is known of a column.

    Attributes:
        name: In the file. One with `<property>` stands for those of all properties.
        kind: Of its values; None where the package does not know the column.
        unit: Empty if there is none.
        meaning: What a value says, in a few words.
        label: Words for people, without the unit.
        scale: What the numbers of a property are, such as "PBE" of a band gap; empty if that is
            not known.
        source: What writes it to results.csv; None for what is in other tables, or from elsewhere.
        group: Where it belongs.
        shown: Whether a reader sees it before asking for all columns.
        criterion: Whether a success must have it True.
        counted: What a check's summary calls the designs that have it True; empty if it does not
            count them.
    """

    name: str
    kind: Kind | None = None
    unit: str = ""
    meaning: str = ""
    label: str = ""
    scale: str = ""
    source: Source | None = None
    group: Group = "further"
    shown: bool = False
    criterion: bool = False
    counted: str = ""

    def __post_init__(self) -> None:
        """Make words of the name where there are none."""
        if not self.label:
            words = self.name.removesuffix("_met").replace("_", " ").replace(".", " ")
            object.__setattr__(self, "label", words)
