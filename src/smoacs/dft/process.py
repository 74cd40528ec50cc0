"""A calculation in a process of its own, with limits on time and memory."""

import json
import math
import os
import resource
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, Final

from smoacs.dft.calculation import Calculation, DftError, DftValues
from smoacs.dft.labels import DftLabel, Limit
from smoacs.dft.settings import DftSettings
from smoacs.dft.worker import OUT_OF_MEMORY
from smoacs.errors import MissingExtraError

_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
_PATIENCE: Final = 20.0
"""Seconds that may pass for each CPU second of the time limit before a process counts as stuck."""

_GIB: Final = 2**30


def _results(reply: dict[str, Any]) -> DftValues:
    """The values of an engine's answer.

    Raises:
        DftError: The answer is a failure.
        MissingExtraError: The engine is not installed, or broken.
    """
    if "missing" in reply:
        raise MissingExtraError(reply["missing"])
    if "failure" in reply:
        raise DftError(str(reply["failure"]))
    return DftValues.from_dict(reply["values"])


@dataclass
class EngineProcess:
    """A running calculation."""

    calculation: Calculation
    settings: DftSettings
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    errors: IO[bytes]
    age: float = field(default=0.0)

    @classmethod
    def start(
        cls, calculation: Calculation, settings: DftSettings, engine: tuple[str, ...]
    ) -> "EngineProcess":
        """Start the engine's process, limit it, and hand it the calculation.

        Its standard input stays open: the engine ends with it when this program is killed.
        """
        output, errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(  # noqa: S603 - the engine is the caller's choice
            engine,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env={**os.environ, **_ONE_THREAD},
            process_group=0,  # not a session of its own: a `nice` of ours holds for it, too
        )
        self = cls(calculation, settings, process, output, errors)
        self._limit()
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # dead already; `poll` says of what
                process.stdin.write(f"{calculation.to_json()}\n".encode())
                process.stdin.flush()
        return self

    def poll(self, tick: float) -> DftLabel | None:
        """The label, if the process has ended; it is killed if it is stuck."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        if self.process.poll() is None:
            self.age += tick
            if self.age <= _PATIENCE * self.settings.time_limit:
                return None
            self.kill()
            return self._label(0.0, f"stuck for {self.age:.0f} s", limit="time")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
        self.output.seek(0)
        outcome = self._outcome(seconds, self.output.read(), self.process.returncode)
        self._close()
        return outcome

    def kill(self) -> None:
        """End the process and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._close()

    def _limit(self) -> None:
        seconds = math.ceil(self.settings.time_limit)
        size = int(self.settings.memory_limit * _GIB)
        with suppress(ProcessLookupError):
            resource.prlimit(self.process.pid, resource.RLIMIT_CPU, (seconds, seconds + 1))
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, (size, size))

    def _outcome(self, seconds: float, answer: bytes, status: int) -> DftLabel:
        limits = self.settings
        killed = status == -signal.SIGKILL and seconds >= limits.time_limit
        if killed or status == -signal.SIGXCPU:
            return self._label(seconds, f"over {limits.time_limit:g} s", limit="time")
        if status < 0:
            return self._label(seconds, f"ended by {signal.Signals(-status).name}")
        try:
            results = _results(json.loads(answer))
        except DftError as error:
            if str(error) == OUT_OF_MEMORY:
                return self._label(seconds, f"over {limits.memory_limit:g} GiB", limit="memory")
            return self._label(seconds, str(error))
        except (json.JSONDecodeError, KeyError, TypeError):
            said = self._last_words()
            return self._label(seconds, f"no valid answer (exit code {status}): {said}")
        return self._label(seconds, "", results=results)

    def _label(
        self,
        seconds: float,
        failure: str,
        *,
        results: DftValues | None = None,
        limit: Limit | None = None,
    ) -> DftLabel:
        limits = {"time": self.settings.time_limit, "memory": self.settings.memory_limit}
        return DftLabel(
            key=self.calculation.key,
            settings=self.settings.key,
            results=results,
            failure=failure,
            limit=limit,
            limit_value=limits[limit] if limit else 0.0,
            seconds=round(seconds, 2),
        )

    def _last_words(self) -> str:
        """Last line that the process wrote to standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def _close(self) -> None:
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        self.output.close()
        self.errors.close()
