"""Standard output that is closed, full or ASCII only; signals; messages that quote too much."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from smoacs import cli
from smoacs.commands import failures
from smoacs.errors import InputError

PROGRAM = "from smoacs.cli import main; main()"


def smoacs(*arguments, redirect="", **environment):
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *command],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_closed_standard_output_is_said():
    done = smoacs("--version", redirect=">&-")
    assert done.returncode == 2
    assert done.stderr.startswith(b"smoacs: error: standard output is closed")
    assert done.stderr.count(b"\n") == 1


def test_full_standard_output_is_said():
    done = smoacs("--version", redirect="> /dev/full")
    assert done.returncode == 3
    assert done.stderr == b"smoacs: error: the disk is full (while writing)\n"


def test_closed_standard_error_is_no_harm():
    done = smoacs("--nonsense", redirect="2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_a_locale_of_ascii_only_reads_and_writes_utf_8():
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = smoacs("--gap=2±1 Å", **ascii_only)
    assert done.returncode == 2
    assert "--gap" in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    done = smoacs("nonsense±", **ascii_only)
    assert "nonsense±" in done.stderr.decode()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_end_with_a_line_and_their_exit_code(name, monkeypatch, capsys):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    if number == signal.SIGINT:
        signal.signal(number, signal.default_int_handler)

    def work(**_):
        signal.raise_signal(number)

    monkeypatch.setattr(cli, "app", work)
    assert cli.run(["show"]) == 128 + number
    words = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert capsys.readouterr().err == f"smoacs: {words}\n"
    assert signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}
    signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_so(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    monkeypatch.setattr(cli, "app", lambda **_: signal.raise_signal(signal.SIGHUP))
    assert cli.run(["show"]) == 0
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("a" * 5_000), 2, "a ... a"),
        (InputError("\0" * 1_000), 2, "\\x00"),
        (InputError("two\nlines"), 2, "two lines"),
        (OSError(errno.EFBIG, "File too large", "run"), 3, "ulimit -f"),
        (OSError(errno.ENOSPC, "No space left", "run"), 3, "the disk is full (run)"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5_000), 2, "File name too long"),
        (UnicodeEncodeError("utf-8", "CaO\udcff.cif", 3, 4, "no"), 2, "is no text"),
    ],
)
def test_every_failure_is_one_line_below_400_characters(error, code, words, capsys):
    assert failures.tell_failure(error) == code
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable()
    assert len(line) < 400


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        failures.tell_failure(ZeroDivisionError())
