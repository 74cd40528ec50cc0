"""A bar is there where the work takes a while, and nowhere else."""

import io
import sys

import pytest

from smoacs.commands import bars
from smoacs.commands.bars import counted


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def now(monkeypatch):
    time = [0.0]
    monkeypatch.setattr(bars.time, "perf_counter", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("seconds", "terminal", "shown"), [(3, True, True), (0.1, True, False), (3, False, False)]
)
def test_work_that_takes_a_while_has_a_bar(monkeypatch, now, seconds, terminal, shown):
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with counted("judging", 3) as tell:
        for done in (1, 2, 3):
            now[0] += seconds
            tell(done)
    assert ("judging" in screen.getvalue()) is shown
