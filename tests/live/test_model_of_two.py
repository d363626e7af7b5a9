# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Freshness: random calls through either of two mounts of one workspace, against
the model of the contract that tests/live/test_model.py has for one.

MODEL_SECONDS and MODEL_SEED as there. What lives in one mount alone is left out: open files,
temporary names, and the reasons of refusals.
"""

import os
import random
import time

import pytest

from support import steps
from support.model import is_temporary
from support.mount import Mount

SECONDS = float(os.environ.get("MODEL_SECONDS", "12"))
STEPS = 60
LIMIT = 1.0  # seconds: the contract
SHARED = ("mkdir", "rmdir", "unlink", "rename", "chmod", "utimens", "write", "append", "patch",
          "truncate", "look")


@pytest.fixture(scope="module")
def other(backend, shared_mount):
    made = Mount(backend).start()
    yield made
    made.teardown()


def is_shared(step):
    """Not what leaves a NUL character in a text, which is refused and told in one mount."""
    word, *arguments = step
    if word not in SHARED or (word in ("patch", "truncate") and arguments[-1] != 0):
        return False
    return not any(isinstance(one, str) and "/" in one and is_temporary(one.partition("/")[2])
                   for one in arguments)


def see(pair):
    """What the other mount did shows within a second."""
    pair.model.touched = set()  # of the other mount
    until = time.monotonic() + LIMIT
    while True:
        try:
            pair.compare(True)
            return
        except (steps.Difference, OSError):
            if time.monotonic() > until:
                raise


def explore(mounts, seed, done):
    dice = steps.Dice(seed)
    sides = random.Random(seed)
    pair = steps.Pair(mounts[0])
    side = 0
    try:
        for step in [("mkdir", zone) for zone in steps.ZONES] + [None] * STEPS:
            while step is None or not is_shared(step):
                step = dice.step(pair.model)
            chosen = sides.randrange(2)
            if chosen != side:
                side, pair.mount = chosen, mounts[chosen]
                see(pair)
            done.append((side, step))
            pair.step(step)
        for pair.mount in mounts:
            see(pair)
        pair.compare_rows()
    finally:
        pair.clear()


def test_two_mounts_show_what_either_did(mount, other):
    """Freshness: at once in the one, within a second in the other."""
    seed = int(os.environ.get("MODEL_SEED", random.randrange(1 << 32)))
    until = time.monotonic() + SECONDS
    n_sequences = 0
    while n_sequences == 0 or time.monotonic() < until:
        done = []
        try:
            explore((mount, other), seed, done)
        except (steps.Difference, OSError) as difference:
            listed = "\n".join(map(repr, done))
            steps.keep(seed, f"after {len(done)} steps: {difference}\n{listed}\n")
            pytest.fail(f"seed {seed}, after {len(done)} steps: {difference}\n{listed}")
        seed += 1
        n_sequences += 1
