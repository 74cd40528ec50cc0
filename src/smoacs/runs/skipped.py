"""What is said of seeds that could not be used."""

from collections import Counter
from collections.abc import Iterator, Sequence

FEW = 3
"""Seeds that are told one by one, and reasons that are told of more."""


def skipped_notes(skipped: Sequence[str]) -> Iterator[str]:
    """Sentences on seeds that were left out: each if they are few, else one with the reasons.

    Args:
        skipped: For each its name, a colon, and the reason.
    """
    if len(skipped) <= FEW:
        yield from (f"seed left out: {text}" for text in skipped)
        return
    reasons = Counter(text.partition(": ")[2] for text in skipped).most_common()
    told = [f"{n:,} because {reason}" for reason, n in reasons[:FEW]]
    others = sum(n for _, n in reasons[FEW:])
    if others:
        told.append(f"{others:,} for other reasons")
    yield (
        f"{len(skipped):,} seeds left out: {'; '.join(told)} (each is named in summary.json, under "
        "skipped_seeds)"
    )
