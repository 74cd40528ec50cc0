"""Exceptions of the package; the command line maps each to its exit code."""


class SmoacsError(Exception):
    """Root of everything that the package raises on purpose."""


class InputError(SmoacsError, ValueError):
    """A mistake in what the user gave (command line: exit code 2)."""


class ResourceError(SmoacsError):
    """Out of memory, disk or time; the run can be resumed (command line: exit code 3)."""


class MissingExtraError(InputError):
    """An optional dependency is not installed; the message names the extra that brings it."""
