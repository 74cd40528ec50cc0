import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.dft import DftSettings, label, read_labels
from smoacs.dft import process as process_module
from smoacs.errors import InputError, MissingExtraError

FAKE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))
SERVING = (sys.executable, str(Path(__file__).with_name("serving_engine.py")))


def crystal(symbol="H", length=3.0):
    return Structure(Lattice.cubic(length), [symbol], [[0.0, 0.0, 0.0]])


@pytest.fixture
def log(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    monkeypatch.setenv("FAKE_LOG", str(path))
    path.touch()
    return path


@pytest.fixture
def cache(tmp_path, log):
    return tmp_path / "labels.jsonl"


def test_labels_in_the_order_of_the_structures_and_two_at_a_time(cache, log):
    structures = [crystal(length=3.0 + 0.1 * i) for i in range(4)]
    structures.append(crystal(length=3.1))  # a copy: calculated once
    seen = []
    labels = label(structures, cache=cache, workers=2, engine=FAKE, progress=seen.append)
    gaps = [item.results.band_gap for item in labels]
    assert gaps == pytest.approx([3.0, 3.1, 3.2, 3.3, 3.1])
    assert all(item.results.iterations == 1 for item in labels), "one thread each"
    assert len(log.read_text().splitlines()) == 4
    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total == 5
    assert seen[-1].failed == seen[-1].cached == 0
    assert seen[-1].seconds_left == 0.0
    assert seen[1].seconds_left > 0.0


def test_what_is_in_the_cache_is_not_calculated_again(cache, log):
    first = label([crystal(), crystal("He")], cache=cache, engine=FAKE)
    seen = []
    structures = [crystal("He"), crystal(), crystal(length=4.0)]
    again = label(structures, cache=cache, engine=FAKE, progress=seen.append)
    assert again[:2] == first[::-1]
    assert len(log.read_text().splitlines()) == 2
    assert (seen[0].done, seen[0].cached, seen[0].failed) == (2, 2, 1)
    other = DftSettings(cutoff=300.0)
    label([crystal()], other, cache=cache, engine=FAKE)
    assert len(log.read_text().splitlines()) == 3, "other settings, other calculation"


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("He", "not self-consistent after 150 iterations"),
        ("C", "ended by SIGABRT"),
        ("N", "no valid answer (exit code 1): the engine exploded"),
        ("F", "band_gap is nan"),
    ],
)
def test_a_failure_is_recorded_and_is_no_result(cache, symbol, reason):
    (item,) = label([crystal(symbol)], cache=cache, engine=FAKE)
    assert item.results is None
    assert item.failure == reason
    assert item.limit is None
    assert read_labels(cache) == {item.key: item}


def test_too_much_cpu_time_is_killed_and_tried_again_with_a_larger_limit_only(cache):
    settings = DftSettings(time_limit=1.0)
    (item,) = label([crystal("Be")], settings, cache=cache, engine=FAKE)
    assert item.results is None
    assert (item.failure, item.limit, item.limit_value) == ("over 1 s", "time", 1.0)
    assert item.seconds == pytest.approx(1.0, abs=0.5)
    start = time.monotonic()
    label([crystal("Be")], settings, cache=cache, engine=FAKE)
    assert time.monotonic() - start < 0.9, "came from the cache"
    more = DftSettings(time_limit=2.0)
    (item,) = label([crystal("Be")], more, cache=cache, engine=FAKE)
    assert item.limit_value == 2.0


def test_a_process_that_sleeps_is_killed(cache, monkeypatch):
    monkeypatch.setattr(process_module, "_PATIENCE", 1.0)
    settings = DftSettings(time_limit=1.0)
    (item,) = label([crystal("B")], settings, cache=cache, engine=FAKE)
    assert item.failure == "stuck for 1 s"
    assert item.limit == "time"


def test_out_of_memory(cache):
    items = label([crystal("Li")], DftSettings(memory_limit=4.0), cache=cache, engine=SERVING)
    assert items[0].failure == "over 4 GiB"
    assert items[0].limit == "memory"


def test_serve_reports_failures_and_bugs_and_keeps_noise_out(cache):
    structures = [crystal(), crystal("He"), crystal("Be")]
    items = label(structures, cache=cache, workers=2, engine=SERVING)
    assert items[0].results.pressure == 0.5
    assert [item.failure for item in items] == ["", "no result", "KeyError: 'a bug'"]


def test_a_missing_engine_is_one_clear_line_and_nothing_is_recorded(cache):
    with pytest.raises(MissingExtraError, match="the fake engine is not installed"):
        label([crystal(), crystal("O")], cache=cache, engine=FAKE)
    assert [item.failure for item in read_labels(cache).values()] == [""]


def test_running_processes_die_with_an_exception(cache, log):
    def stop(progress):
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label([crystal(), crystal("B")], cache=cache, workers=2, engine=FAKE, progress=stop)
    assert len(read_labels(cache)) == 1


def test_kill_9_loses_nothing_and_does_nothing_twice(cache, log):
    program = f"""
import sys
from pymatgen.core import Lattice, Structure
from smoacs.dft import label
crystals = [Structure(Lattice.cubic(3 + i / 10), ["H"], [[0, 0, 0]]) for i in range(7)]
label(crystals, cache={str(cache)!r}, workers=2, engine={SERVING!r})
"""
    parent = subprocess.Popen([sys.executable, "-c", program])  # noqa: S603
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(read_labels(cache)) < 3:
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    finished = log.read_text().split()
    kept = read_labels(cache)
    assert 3 <= len(kept) < 7
    # Each of the two engines may have finished in the very instant of the kill, its answer unread.
    assert len(finished) - len(kept) in {0, 1, 2}
    time.sleep(1.0)
    assert log.read_text().split() == finished, "the engines ended with their parent"
    structures = [crystal(length=3 + i / 10) for i in range(7)]
    items = label(structures, cache=cache, workers=2, engine=SERVING)
    assert [item.results.band_gap for item in items] == pytest.approx(
        [3 + i / 10 for i in range(7)]
    )
    assert {key: read_labels(cache)[key] for key in kept} == kept
    done = log.read_text().split()
    recorded = [str(item.results.band_gap) for item in kept.values()]
    assert [done.count(length) for length in recorded] == [1] * len(kept)
    assert len(set(done)) == 7


def test_half_a_line_at_the_end_is_cut_off(cache, log):
    (item,) = label([crystal()], cache=cache, engine=FAKE)
    with cache.open("a") as file:
        file.write('{"key": "half')
    assert read_labels(cache) == {item.key: item}
    label([crystal(), crystal(length=4.0)], cache=cache, engine=FAKE)
    assert len(read_labels(cache)) == 2
    assert all(json.loads(line) for line in cache.read_text().splitlines())


def test_one_writer_at_a_time(cache):
    def nested(progress):
        with pytest.raises(InputError, match="another process"):
            label([crystal()], cache=cache, engine=FAKE)

    label([crystal()], cache=cache, engine=FAKE, progress=nested)


def test_a_broken_cache_is_named_with_the_line(cache):
    cache.write_text("{}\n")
    with pytest.raises(InputError, match="line 1 is no DFT label"):
        label([crystal()], cache=cache, engine=FAKE)


def test_bad_input(cache):
    with pytest.raises(InputError, match="workers is 0"):
        label([crystal()], cache=cache, engine=FAKE, workers=0)
    with pytest.raises(InputError, match="does not exist"):
        label([crystal()], cache=cache.parent / "no" / "labels.jsonl", engine=FAKE)
    mixed = Structure(Lattice.cubic(3), [{"H": 0.5, "Li": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="one element per site"):
        label([mixed], cache=cache, engine=FAKE)
