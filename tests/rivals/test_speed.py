"""The speed benchmark: ratios of one run, and its section of the page."""

import json

from benchmarks.paper.document import speed
from benchmarks.speed import __main__ as speed_main
from benchmarks.speed.__main__ import add_turns
from benchmarks.speed.bars import bars
from benchmarks.speed.measure import Point, in_turns, measure


def test_a_batch_is_measured_in_parts(tmp_path):
    found = measure(Point(2, 1), "cpu", 1) | {"one_core": False}
    assert (found["n"], found["atoms"]) == (2, 5)
    assert found["step_s"] > found["neighbors_s"] > 0
    assert found["bare_s"] > 0
    assert 0 < found["neighbor_share"] < 1
    assert found["overhead_of_work"] > -1
    larger = {**found, "atoms": 40, "n": 1, "overhead": 0.1}
    file = tmp_path / "speed.json"
    assert "Not measured yet" in speed(file, tmp_path, "images")
    file.write_text(json.dumps([found, larger]), encoding="utf-8")
    text = speed(file, tmp_path, "images")
    assert "| cpu | 1 | 40 |" in text
    assert "| 10 |" in text
    assert "(images/speed.png)" in text
    assert (tmp_path / "speed.png").stat().st_size > 5000


def test_batches_take_turns():
    times = in_turns((Point(1, 1), Point(4, 1)), "cpu", 1)
    assert len(times) == 2
    assert min(times) > 0


def test_turns_are_added_to_their_own_records(monkeypatch):
    factors = iter((1.0, 1.0, 1.0, 1.0, 2.0))

    def in_process(_call, points, *_):
        factor = next(factors)
        return [factor * p.atoms for p in points]

    monkeypatch.setattr(speed_main, "in_new_process", in_process)
    records = [
        {"n": n, "atoms": atoms, "one_core": one_core}
        for n, atoms, one_core in (
            (1, 135, False),
            (1, 5000, True),
            (32, 135, False),
            (1, 5, False),
        )
    ]
    add_turns(records, "cpu", 1)
    assert [r.get("microseconds_in_turns") for r in records] == [162.0, None, None, None]
    assert [records[0][f"microseconds_in_turns_{k}"] for k in (1, 5)] == [135.0, 270.0]


def test_scatter_between_processes_is_told():
    base = {"device": "cpu", "overhead": 0.1, "n": 1, "microseconds_per_atom": 100.0}
    small = {"microseconds_in_turns_1": 110.0, "microseconds_in_turns_2": 130.0}
    large = {"microseconds_in_turns_1": 100.0, "microseconds_in_turns_2": 100.0}
    records = [
        {**base, "atoms": 135, "microseconds_in_turns": 120.0, **small},
        {**base, "atoms": 320, "microseconds_in_turns": 100.0, **large},
    ]
    flat = bars(records)[0]
    assert "135 to 320 atoms, % (mean of 2 processes, 10 to 30 in each): 20 (at most 20)" in flat
    assert "missed" not in flat


def test_missed_bars_are_bold():
    base = {"device": "cpu", "overhead": 0.12, "microseconds_per_atom": 100.0}
    records = [
        {**base, "n": 256, "atoms": 5},
        {**base, "n": 32, "atoms": 135},
        {**base, "n": 1, "atoms": 135},
        {**base, "n": 1, "atoms": 1080, "microseconds_in_turns": 125.0},
    ]
    records += [
        {**base, "n": 37, "atoms": 135, "microseconds_per_atom": 110.0, "one_core": True},
        {**base, "n": 1, "atoms": 5000, "one_core": True},
    ]
    overhead, large, flat, ratio, equal, _ = bars(records)
    assert overhead == "- cpu: overhead of a step at 256 × 5 atoms, %: 12 (at most 15)"
    assert large.startswith("- **cpu: overhead of a step at 32 × 135 atoms, %: 12 (at most 10)")
    assert "135 to 1,080 atoms, %: 25 (at most 20): missed**" in flat
    assert ratio == "- cpu: time per atom of 1,080 over 135 atoms: 1.25 (at most 1.3)"
    assert "in equal steps on one core, 37 × 135 to 1 × 5,000, %: 10 (at most 20)" in equal
    assert bars([{**base, "n": 4, "atoms": 5}]) == []
