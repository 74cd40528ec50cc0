"""What the command line says where something fails, and with which exit code."""

import codecs
import contextlib
import os
import signal
import sys

import typer

from smoacs.errors import (
    LONGEST,
    InputError,
    ResourceError,
    SmoacsError,
    is_out_of_memory,
    short,
    without_passwords,
)
from smoacs.files import is_disk_full, why_full
from smoacs.interrupt import last_signal

EXIT_INPUT = 2
EXIT_RESOURCES = 3
_EXIT_SIGNAL = 128


def tell_failure(error: Exception) -> int:
    """Say in one line what failed and return the exit code; a bug is raised again."""
    failure = _failure(error)
    if failure is None:
        raise error
    if isinstance(error, OSError) and not error.filename:
        give_up_output()
    code, message = failure
    say(f"error: {short(without_passwords(' '.join(message.split())), LONGEST)}")
    return code


def tell_interrupted() -> int:
    """Say what ended the work, and return the exit code of that signal."""
    number = last_signal()
    name = signal.Signals(number).name
    say("interrupted" if number == signal.SIGINT else f"ended by {name}")
    return _EXIT_SIGNAL + number


def say(message: str) -> None:
    """Write a line to standard error, if there is somebody to read it."""
    with contextlib.suppress(OSError):
        typer.echo(f"smoacs: {message}", err=True)


def prepare_streams() -> None:
    """Make standard output and error ready for any text.

    Raises:
        InputError: Standard output is closed.
    """
    _leave_ascii()
    closed = [number for number in range(3) if _is_closed(number)]
    for _ in closed:  # or the next file that is opened takes its place, and our output with it
        os.open(os.devnull, os.O_RDWR)
    if 1 in closed:
        raise InputError("standard output is closed; send it to a file, or away (> /dev/null)")
    for stream in (sys.stdout, sys.stderr):
        # Where the terminal has no ± or Å, it gets an escape in its place.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _leave_ascii() -> None:
    """Begin again in Python's UTF-8 mode where the locale knows ASCII only.

    That is Python's own choice there unless the environment forbids it (PYTHONUTF8=0): neither a
    ± in a target nor the name of a file could be read.
    """
    ascii_only = codecs.lookup(sys.getfilesystemencoding()).name == "ascii"
    if ascii_only and os.environ.get("PYTHONUTF8") != "1":
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606


def give_up_output() -> None:
    """Drop what could not be written, which Python would try again at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _failure(error: Exception) -> tuple[int, str] | None:
    """Exit code and message of an expected failure; None for a bug."""
    failure = None
    if isinstance(error, typer.exceptions.TyperException):
        failure = EXIT_INPUT, f"{error.format_message().rstrip('.')} (see smoacs --help)"
    elif isinstance(error, SmoacsError):
        resources = isinstance(error, ResourceError)
        failure = EXIT_RESOURCES if resources else EXIT_INPUT, str(error)
    elif is_out_of_memory(error):
        failure = EXIT_RESOURCES, "out of memory; try fewer candidates at a time (--batch-size)"
    elif isinstance(error, OSError) and is_disk_full(error):
        failure = EXIT_RESOURCES, f"{why_full(error)} ({error.filename or 'while writing'})"
    elif isinstance(error, OSError) and error.filename:
        failure = EXIT_INPUT, f"{error.filename}: {error.strerror}"
    elif isinstance(error, UnicodeEncodeError):
        text = ascii(error.object[max(0, error.start - 20) : error.end + 20])
        failure = EXIT_INPUT, f"{text} holds what is no text: rename the file that it names"
    return failure
