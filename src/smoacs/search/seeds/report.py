"""What is said of the searches on many seeds: once for all that are alike, with their number."""

from collections import Counter
from collections.abc import Mapping, Sequence

FEW = 3
"""Different notes that are told one by one."""


def joined_report(
    reports: Sequence[Mapping[str, object]], names: Sequence[str]
) -> dict[str, object]:
    """What `DesignResult.search` says of several searches, their numbers added.

    Where they have more than a few things to say, `note` counts what begins alike and gives one of
    each for an example; `notes` has them all.

    Args:
        reports: Of each search.
        names: Of their templates.
    """
    joined: dict[str, object] = {
        "method": " and ".join(sorted({str(report.get("method", "")) for report in reports})),
    }
    said = [str(report.get("note", "")) for report in reports]
    different = list(dict.fromkeys(filter(None, said)))
    if len(different) <= FEW:
        joined["note"] = "; ".join(different)
    else:
        kinds = Counter(note.split(":")[0] for note in said if note)
        example = {note.split(":")[0]: note for note in reversed(different)}
        joined["note"] = "; ".join(
            f"{n:,} of {len(reports):,} searches: {example[kind]}"
            for kind, n in kinds.most_common(FEW)
        )
        pairs = zip(names, said, strict=True)
        joined["notes"] = [f"{name}: {note}" for name, note in pairs if note]
    counts = Counter[str]()
    for report in reports:
        counts.update({name: n for name, n in report.items() if isinstance(n, int)})
    return joined | counts
