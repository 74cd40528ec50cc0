"""What the measurements say of what is asked: overhead, time per atom, memory."""

from collections.abc import Collection, Sequence

from benchmarks.speed.measure import Record

OVERHEADS = {(256, 5): 0.15, (32, 135): 0.10}
"""Most overhead of a step, by candidates and atoms of each."""

FLAT_FROM = 135
FLAT = 0.20
"""Most change of the time per atom from so many atoms on."""

OF_PROCESS = "microseconds_in_turns_"
"""And a process's number: µs per atom and step of crystals that took turns in that process."""

LARGER = (1080, 135, 1.3)
"""6×6×6, 3×3×3, and how many times the time per atom may grow."""


def bars(records: Sequence[Record]) -> list[str]:
    """A line for each bar that the measurements of a device allow to check; missed ones bold."""
    found: list[str] = []
    for device in dict.fromkeys(str(record["device"]) for record in records):
        own = [record for record in records if record["device"] == device]
        apart = [record for record in own if not record.get("one_core")]
        told = (*_overheads(apart), *_sizes(apart), *_equal_steps(own))
        found += [_line(device, *line) for line in told]
    return [*found, ""] if found else []


def _overheads(records: Sequence[Record]) -> list[tuple[str, float, float]]:
    return [
        (
            f"overhead of a step at {record['n']} × {record['atoms']} atoms, %",
            100 * float(record["overhead"]),
            100 * OVERHEADS[int(record["n"]), int(record["atoms"])],
        )
        for record in records
        if (record["n"], record["atoms"]) in OVERHEADS
    ]


def _sizes(records: Sequence[Record]) -> list[tuple[str, float, float]]:
    """How the time per atom of single crystals changes with their size."""
    single = {int(r["atoms"]): r for r in records if r["n"] == 1 and int(r["atoms"]) >= FLAT_FROM}
    if len(single) < 2:
        return []
    times = {
        atoms: float(record.get("microseconds_in_turns", record["microseconds_per_atom"]))
        for atoms, record in single.items()
    }
    largest = max(single)
    words = f"change of the time per atom and step from {min(single)} to {largest:,} atoms, %"
    told = [(words + _scatter(single.values()), _change(times.values()), 100 * FLAT)]
    large, small, most = LARGER
    if {large, small} <= set(times):
        told.append(
            (f"time per atom of {large:,} over {small} atoms", times[large] / times[small], most)
        )
    return told


def _change(times: Collection[float]) -> float:
    """By how much the longest is above the shortest, %."""
    return 100 * (max(times) / min(times) - 1)


def _scatter(records: Collection[Record]) -> str:
    """What each process by itself would have told, in words; nothing if there was but one."""
    names = [name for name in next(iter(records)) if name.startswith(OF_PROCESS)]
    changes = [_change([float(record[name]) for record in records]) for name in names]
    if len(changes) < 2:
        return ""
    low, high = min(changes), max(changes)
    return f" (mean of {len(changes)} processes, {low:.3g} to {high:.3g} in each)"


def _equal_steps(records: Sequence[Record]) -> list[tuple[str, float, float]]:
    """The same of steps of as many atoms each, on one core."""
    equal = [r for r in records if r.get("one_core") and int(r["atoms"]) >= FLAT_FROM]
    if len(equal) < 2:
        return []
    times = [float(record["microseconds_per_atom"]) for record in equal]
    few, many = (pick(equal, key=lambda r: int(r["atoms"])) for pick in (min, max))
    words = " to ".join(f"{r['n']} × {r['atoms']:,}" for r in (few, many))
    told = f"change of the time per atom in equal steps on one core, {words}, %"
    return [(told, _change(times), 100 * FLAT)]


def _line(device: str, words: str, value: float, most: float) -> str:
    text = f"{device}: {words}: {value:.3g} (at most {most:g})"
    return f"- {text}" if value <= most else f"- **{text}: missed**"
