# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Refusals: no room to stage: ENOSPC."""

import os
import subprocess

import pytest

from support import files
from support.fixtures import new_database
from support.mount import Backend, Mount, run


@pytest.fixture
def tight(postgres):
    """A mount whose state folder is a tmpfs of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    backend = Backend("external", dsn=new_database(postgres))
    os.mkdir(backend.state_dir)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs",
                              backend.state_dir], check=False, stderr=subprocess.PIPE)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs: " + mounted.stderr.decode())
    mount = Mount(backend).start()
    yield mount
    mount.teardown()
    subprocess.run(["umount", "-l", backend.state_dir], check=True)
    backend.destroy()


def used(mount):
    found = os.statvfs(mount.backend.state_dir)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


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
