"""Write what `make_labels.py` made as Parquet shards, and count what the shards hold.

    python scripts/teacher/export_labels.py --made runs/teacher --out data/teacher_labels

A shard is never changed: each call writes those families as new shards that earlier ones lack.
Three tables for each stream: frames (a labelled crystal in each row, in the training layout), ends
(a free relaxation in each row) and families (a composition or crystal in each row).
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from label_rows import done_names, read_lines

FRAME_SCHEMA: Final = pa.schema(
    [
        ("family", pa.string()),
        ("formula", pa.string()),
        ("kind", pa.string()),
        ("way", pa.int8()),
        ("split", pa.string()),
        ("n_atoms", pa.uint8()),
        ("numbers", pa.list_(pa.uint8())),
        ("frac_coords", pa.list_(pa.float32())),
        ("lattice", pa.list_(pa.float32())),
        ("energy_per_atom", pa.float32()),
        ("forces", pa.list_(pa.float16())),
        ("stress", pa.list_(pa.float16())),
    ]
)
COLUMNS: Final = ("family", "formula", "split")


def frame_rows(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of the frames, types as in the schema."""
    for line in lines:
        for frame in line["frames"]:
            # 1e-6 of a cell is 1e-5 Å: the digits beyond are noise that does not compress
            frac = np.round(np.array(frame["frac_coords"]), 6) % 1.0
            yield {key: line[key] for key in COLUMNS} | {
                "kind": frame["frame"],
                "way": frame["way"],
                "n_atoms": len(frame["numbers"]),
                "numbers": frame["numbers"],
                "frac_coords": frac.astype(np.float32),
                "lattice": np.array(frame["lattice"], dtype=np.float32),
                "energy_per_atom": frame["energy"],
                "forces": np.array(frame["forces"], dtype=np.float16),
                "stress": np.array(frame["stress"], dtype=np.float16),
            }


def write_frames(lines: Sequence[dict[str, Any]], path: Path) -> int:
    """Write the frames of families; returns how many there are."""
    rows = list(frame_rows(lines))
    columns = {
        name: pa.array([row[name] for row in rows], type=FRAME_SCHEMA.field(name).type)
        for name in FRAME_SCHEMA.names
    }
    lists = ["frac_coords", "lattice", "forces", "stress"]
    pq.write_table(
        pa.table(columns, schema=FRAME_SCHEMA),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=["family", "formula", "kind", "split", "numbers.list.element"],
        use_byte_stream_split=[f"{name}.list.element" for name in lists],
    )
    return len(rows)


def family_rows(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row for each family."""
    return pd.DataFrame(
        [
            {key: line[key] for key in (*COLUMNS, "kind", "status", "dropped", "seconds")}
            | line["about"]
            for line in lines
        ]
    )


def end_rows(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row for each free relaxation."""
    return pd.DataFrame(
        [
            {key: line[key] for key in COLUMNS} | {"way": way} | row
            for line in lines
            for way, row in enumerate(line["ends"])
        ]
    )


def export(made: Path, out: Path, most: int) -> None:
    """Write new shards of every stream."""
    for path in sorted(made.glob("*.jsonl")):
        stream = path.stem
        there = done_names(stream, out / "none", out)
        lines = [line for line in read_lines(path) if line["family"] not in there]
        for start in range(0, len(lines), most):
            part = lines[start : start + most]
            number = len(list(out.glob(f"{stream}-families-*.parquet")))
            count = write_frames(part, out / f"{stream}-frames-{number:03d}.parquet")
            ends = end_rows(part)
            if len(ends):
                ends.to_parquet(out / f"{stream}-ends-{number:03d}.parquet", compression="zstd")
            # last, because its families count as done from now on
            families = family_rows(part)
            families.to_parquet(out / f"{stream}-families-{number:03d}.parquet", compression="zstd")
            print(f"{stream} {number:03d}: {len(part)} families, {count} frames")


def summary(out: Path) -> dict[str, Any]:
    """Counts of what the shards of a folder hold."""
    counts: dict[str, Any] = {}
    for stream in sorted({path.name.split("-families-")[0] for path in out.glob("*-families-*")}):
        families = _read(out, stream, "families")
        frames = _read(out, stream, "frames", ["kind", "split", "n_atoms"])
        counts[stream] = {
            "families": families["status"].value_counts().to_dict(),
            "splits": families["split"].value_counts().to_dict(),
            "frames": len(frames),
            "kinds": frames["kind"].value_counts().to_dict(),
            "atoms": int(frames["n_atoms"].sum()),
            "dropped": int(families["dropped"].sum()),
            "cpu_seconds": round(float(families["seconds"].sum())),
            "megabytes": round(sum(p.stat().st_size for p in out.glob(f"{stream}-*")) / 1e6, 2),
        }
    return counts


def _read(out: Path, stream: str, table: str, columns: list[str] | None = None) -> pd.DataFrame:
    paths = sorted(out.glob(f"{stream}-{table}-*.parquet"))
    return pd.concat([pd.read_parquet(path, columns=columns) for path in paths])


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description="Write teacher labels as Parquet shards.")
    parser.add_argument("--made", type=Path, help="folder that make_labels.py wrote to")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--most", type=int, default=2000, help="families in a shard")
    args = parser.parse_args()
    if args.made is not None:
        export(args.made, args.out, args.most)
    print(json.dumps(summary(args.out), indent=1))


if __name__ == "__main__":
    main()
