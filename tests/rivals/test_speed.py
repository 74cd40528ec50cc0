"""The speed benchmark: ratios of one run, and its section of the page."""

import json

from benchmarks.paper.document import speed
from benchmarks.speed.measure import Point, measure


def test_a_batch_is_measured_in_parts(tmp_path):
    found = measure(Point(2, 1), "cpu", 1)
    assert (found["n"], found["atoms"]) == (2, 5)
    assert found["step_s"] > found["neighbors_s"] > 0
    assert found["bare_s"] > 0
    assert 0 < found["neighbor_share"] < 1
    larger = {**found, "atoms": 40, "n": 1, "overhead": 0.1}
    file = tmp_path / "speed.json"
    assert "Not measured yet" in speed(file, tmp_path, "images")
    file.write_text(json.dumps([found, larger]), encoding="utf-8")
    text = speed(file, tmp_path, "images")
    assert "| cpu | 1 | 40 |" in text
    assert "| 10 |" in text
    assert "(images/speed.png)" in text
    assert (tmp_path / "speed.png").stat().st_size > 5000
