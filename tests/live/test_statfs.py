# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Namespace, Attributes: what df shows."""

import os
import subprocess

import pytest

from support import files
from support.fixtures import make_backend, mount_on_tmpfs
from support.mount import Mount, run, wait_for

MIB = 1 << 20
STATE_SIZE = 96 * MIB
SERVER_SIZE = 480 * MIB


@pytest.fixture
def small_staging(postgres):
    """A mount of a server elsewhere, its state folder on a disk of its own."""
    yield from mount_on_tmpfs(postgres, f"{STATE_SIZE // MIB}m")


@pytest.fixture
def small_server(postgres):
    """A mount with a private server whose folder is a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    backend = make_backend("embedded", postgres)
    folder = os.path.join(backend.state_dir, "server")
    os.makedirs(folder)
    os.chmod(backend.state_dir, 0o711)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SERVER_SIZE // MIB}m", "tmpfs",
                           folder], check=False, stderr=subprocess.PIPE)
    if made.returncode:
        pytest.skip("cannot mount a tmpfs: " + made.stderr.decode())
    one = Mount(backend).start()
    yield one
    one.teardown()
    backend.server.stop()
    subprocess.run(["umount", "-l", folder], check=True)
    backend.destroy()


def total(status):
    return status.f_blocks * status.f_frsize


def available(path):
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def df(path, **options):
    """Size, available, inodes and free inodes, as df prints them."""
    lines = run("df", "-B1", "--output=size,avail,itotal,iavail", path,
                **options).ok().out.splitlines()
    return [int(word) for word in lines[1].split()]


def test_with_a_dsn_it_is_the_disk_of_staging(small_staging):
    """Namespace, Attributes: statfs."""
    shown, behind = os.statvfs(small_staging.path), os.statvfs(small_staging.backend.state_dir)
    assert total(shown) == total(behind) == STATE_SIZE
    assert (shown.f_files, shown.f_frsize, shown.f_bsize) == (
        behind.f_files, behind.f_frsize, behind.f_bsize)
    assert 0 < shown.f_bavail <= shown.f_bfree <= shown.f_blocks
    assert 0 < shown.f_favail <= shown.f_ffree <= shown.f_files
    assert shown.f_namemax == 255


def test_it_shrinks_as_the_disk_does(small_staging, table):
    """Namespace, Attributes: files that wait in staging take room."""
    os.mkdir(small_staging.zone(table))
    before = available(small_staging.path)
    files.write(small_staging.zone(table, ".waits"), b"x" * (32 * MIB))
    after = available(small_staging.path)
    assert after <= before - 32 * MIB
    assert after == available(small_staging.backend.state_dir)
    os.unlink(small_staging.zone(table, ".waits"))
    wait_for(lambda: available(small_staging.path) > before - MIB, 5, "the room to come back")


def test_with_a_private_server_it_is_the_disk_of_its_data(small_server):
    """Namespace, Attributes: statfs."""
    shown = os.statvfs(small_server.path)
    assert total(shown) == SERVER_SIZE
    assert total(os.statvfs(small_server.backend.state_dir)) != SERVER_SIZE
    before = available(small_server.path)
    ballast = files.write(os.path.join(small_server.backend.state_dir, "server", "ballast"),
                          b"x" * (16 * MIB))
    assert available(small_server.path) <= before - 16 * MIB
    os.unlink(ballast)


@pytest.mark.parametrize("parts", [(), ("ingest",), (".deeplake", "README"), ("query.sql",)])
def test_df_shows_it_from_everywhere(mount, parts):
    """Namespace, Attributes: df of any path."""
    size, free, n_files, n_free = df(mount.at(*parts))
    assert 0 < free <= size and 0 < n_free <= n_files
    assert size == total(os.statvfs(mount.backend.state_dir))
    assert "deeplakefs" in run("df", "--output=source,target", mount.at(*parts)).ok().out
    assert "Namelen: 255" in run("stat", "-f", mount.at(*parts)).ok().out


def test_another_user_sees_it_too(another_mount):
    """Access: df is for all who may come in."""
    one = another_mount(options=["-o", "allow_other"])
    assert df(one.path, user="nobody") == pytest.approx(df(one.path), rel=0.01)


def test_it_answers_while_the_server_is_away(fresh_backend):
    """When the server is away: statfs asks the disk alone."""
    backend = fresh_backend("embedded")
    one = Mount(backend).start()
    backend.server.stop()
    assert available(one.path) > 0
