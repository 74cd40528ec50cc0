"""Works that are killed (SIGKILL) at moments spread over the time that they take."""

import os
import signal
import sys
import time
import traceback


def started(work):
    """Begin a work in a process of its own, forked from this one with all that it has imported."""
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = work() or 0
    except BaseException:  # noqa: BLE001 - a process that ends in no other way
        traceback.print_exc(file=sys.__stderr__)
        code = 70
    finally:
        os._exit(code)


def seconds_of(work):
    """How long a work takes that nobody disturbs."""
    begin = time.monotonic()
    child = started(work)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 1}
    return time.monotonic() - begin


def killed(work, seconds):
    """Kill a work after some seconds; whether it was still at it."""
    child = started(work)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, 1, -signal.SIGKILL}
    return code == -signal.SIGKILL


def moments(seconds, number, *, first=0.0):
    """Moments spread evenly over a time, from a part of it on."""
    return [seconds * (first + (1 - first) * (k + 0.5) / number) for k in range(number)]
