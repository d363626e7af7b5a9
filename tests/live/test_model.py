# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest: random sequences of calls, each against a model of the contract.

MODEL_SECONDS is how long they go on per server (12), MODEL_SEED where they begin: a seed that
failed is run again with MODEL_SEED=<seed> MODEL_SECONDS=1. What failed is also written to
build/pytest-logs/model-<seed>.txt, before it is made shorter: a run may be cut off then.
"""

import os
import random
import time

from support import steps

SECONDS = float(os.environ.get("MODEL_SECONDS", "12"))
SHRINK_SECONDS = 60
STEPS = 100


def test_every_call_gives_and_leaves_what_the_contract_says(mount):
    """Ingest; Tenets: nothing is lost or doubled."""
    seed = int(os.environ.get("MODEL_SEED", random.randrange(1 << 32)))
    until = time.monotonic() + SECONDS
    n_sequences = 0
    while n_sequences == 0 or time.monotonic() < until:
        print(f"seed {seed}")
        failed = steps.explore(mount, seed, STEPS)
        assert not failed, explain(mount, seed, *failed)
        seed += 1
        n_sequences += 1


def explain(mount, seed, done, difference):
    steps.keep(seed, f"after {len(done)} steps: {difference}\n{steps.script(done)}\n")
    fewest, again = steps.shrink(mount, done, SHRINK_SECONDS)
    return (f"seed {seed}, after {len(done)} steps: {difference}\n"
            f"the fewest steps ({len(fewest)}): {again or 'not seen a second time'}\n"
            f"{steps.script(fewest)}\n")
