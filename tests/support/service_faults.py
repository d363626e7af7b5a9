# SPDX-License-Identifier: Apache-2.0
"""What the stand-in for the service can be told to do wrong, and for which requests."""

import re
import threading
from dataclasses import dataclass

BEFORE = "before"  # the statement never runs
MIDDLE = "middle"  # it ran; half of the answer comes
AFTER = "after"    # it ran; no answer comes


def statement(pattern):
    """A condition for requests whose statement has a match of this regular expression."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda request: bool(request.statement and compiled.search(request.statement))


@dataclass
class Fault:
    """act is "fail", "cut", "empty" or "slow"."""

    act: str
    n_left: int = 1          # None: until clear()
    when: object = None      # every request; a part of the path; or condition(request)
    where: str = BEFORE
    answer: object = None    # of "fail"
    with_reset: bool = False
    bytes_per_second: int = 0

    def matches(self, request):
        if self.when is None:
            return True
        if isinstance(self.when, str):
            return self.when in request.path
        return self.when(request)


class Faults:
    """A list; the first that matches a request acts on it. Threads may share it."""

    def __init__(self):
        self._lock = threading.Lock()  # guards _waiting
        self._waiting = []

    def add(self, fault):
        with self._lock:
            self._waiting.append(fault)

    def clear(self):
        with self._lock:
            self._waiting.clear()

    def n_left(self):
        """How many requests faults are still waiting for; those without an end are not
        counted."""
        with self._lock:
            return sum(fault.n_left or 0 for fault in self._waiting)

    def take(self, request):
        """The fault that acts on this request, or None."""
        if not self._waiting:
            return None
        with self._lock:
            for fault in self._waiting:
                if fault.matches(request):
                    if fault.n_left is not None:
                        fault.n_left -= 1
                        if not fault.n_left:
                            self._waiting.remove(fault)
                    return fault
        return None
