"""The process of one calculation: a line of JSON in, a line of JSON out.

An engine is any program that reads a `Calculation` as one line of JSON from standard input and
writes `{"values": {...}}` (the fields of `DftValues`), `{"failure": "reason"}` or
`{"missing": "what is not installed"}` to standard output; a failure `OUT_OF_MEMORY` is the memory
limit's. Engines in Python call `serve`.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from smoacs.dft.calculation import Calculation, DftError, DftValues
from smoacs.errors import MissingExtraError

OUT_OF_MEMORY: Final = "out of memory"
"""The failure that an engine reports when the memory limit stops it."""


def serve(run: Callable[[Calculation], DftValues]) -> None:
    """Do the one calculation that standard input asks for.

    The process ends when standard input is closed, so that no calculation outlives the program
    that asked for it. What the engine's libraries print goes to standard error.

    Args:
        run: Does a calculation; raises `DftError` if it has no result.
    """
    calculation = Calculation.from_json(sys.stdin.buffer.readline().decode())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump(_attempt(run, calculation), answer)
    answer.flush()
    os._exit(0)  # not held up by what an engine does at exit


def _attempt(
    run: Callable[[Calculation], DftValues], calculation: Calculation
) -> dict[str, object]:
    try:
        return {"values": asdict(run(calculation))}
    except DftError as failure:
        return {"failure": str(failure)}
    except MissingExtraError as error:
        return {"missing": str(error)}
    except MemoryError:
        return {"failure": OUT_OF_MEMORY}
    except Exception as error:  # noqa: BLE001 - an engine may raise anything; it is recorded
        text = " ".join(str(error).split())
        return {"failure": f"{type(error).__name__}: {text}"}


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)
