# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Refusals: no room to stage: ENOSPC."""

import os

import pytest

from support import files
from support.fixtures import mount_on_tmpfs, used
from support.mount import run


@pytest.fixture
def tight(postgres):
    """A mount whose state folder is a tmpfs of 4 MiB."""
    yield from mount_on_tmpfs(postgres, "4m")


def test_no_room_to_stage_is_enospc_and_leaves_nothing(tight, work):
    """ENOSPC, and the reason beside it; no row, no staging, and small files still work."""
    os.mkdir(tight.zone("t"))
    before = used(tight)
    source = files.write(os.path.join(work, "big.bin"), files.binary(8 << 20))
    ran = run("cp", source, tight.zone("t"))
    assert ran.code != 0
    assert "No space left on device" in ran.err
    assert tight.ledger_paths("t") == []
    assert not tight.table_exists("t") or tight.n_rows("t") == 0
    assert used(tight) <= before + (64 << 10)
    run("cp", files.write(os.path.join(work, "small.bin"), files.binary(1 << 20)),
        tight.zone("t")).ok()
    assert tight.data("t", "small.bin") == [(files.binary(1 << 20), "small.bin")]


def test_a_result_without_room_says_so(tight):
    """Queries: a result that cannot be kept is an error, never a shorter result."""
    with pytest.raises(OSError, match="No space left on device"):
        files.write(tight.at("query.sql"),
                    "SELECT repeat('x', 1000) AS x FROM generate_series(1, 8000)")
    ran = run("cat", tight.at("query.sql"))
    assert ran.code != 0
    assert not ran.out.startswith("[")
