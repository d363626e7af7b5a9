# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, The service, Large files: all of a file's rows at once, by requests of
bounded size."""

import os
import subprocess
import time

import pytest

from support import files, pdfs
from support.fixtures import make_backend, tear_down
from support.mount import run, wait_for
from support.service import statement

STAGING = "deeplakefs_staging"
BODY_MAX_BYTES = 16 * 1024 * 1024
AT_ONCE_MAX = 5


@pytest.fixture(scope="module")
def backend(postgres):
    made = make_backend("service", postgres)
    yield made
    tear_down(made)


@pytest.fixture
def service(backend):
    backend.service.forget_requests()
    yield backend.service
    backend.service.clear()


def n_staged(mount):
    return mount.sql(f"SELECT count(*) FROM {STAGING}")[0][0]


def assert_bounded(service):
    """No request is larger than the service takes, nor more at once than it stands."""
    sizes = [int(request.headers.get("content-length", 0)) for request in service.requests]
    assert max(sizes) <= BODY_MAX_BYTES and service.max_under_way <= AT_ONCE_MAX
    print(f"largest request {max(sizes)} bytes, {service.max_under_way} at most at once")


def copy_watched(mount, table, path, others):
    """cp, while somebody else counts the rows; the counts but those of the first moment."""
    counts = set()
    started = time.monotonic()
    copying = subprocess.Popen(["cp", path, mount.zone(table)])
    while copying.poll() is None:
        counts.add(mount.n_rows(table) - others)
        time.sleep(0.005)
    assert copying.returncode == 0
    print(f"{os.path.basename(path)}: {time.monotonic() - started:.2f} s")
    return counts


def prepared(mount, table, name, content):
    """A table that has one row already."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, name), content)
    return mount.n_rows(table)


def test_a_large_binary_file_is_there_all_at_once(mount, service, work, table):
    """Byte by byte, and nothing stays in the staging table."""
    n_before = prepared(mount, table, "small.bin", b"s")
    content = files.binary(40 * 1024 * 1024, 1)
    path = files.write(os.path.join(work, "large.bin"), content)
    assert copy_watched(mount, table, path, n_before) <= {0, 1}
    assert mount.data(table, "large.bin") == [(content, "large.bin")]
    run("cmp", path, mount.zone(table, "large.bin")).ok()
    assert n_staged(mount) == 0 and mount.n_orphans(table) == 0
    assert_bounded(service)


def test_a_large_text_file_is_there_all_at_once(mount, service, work, table):
    """Some ten thousand rows."""
    n_before = prepared(mount, table, "small.txt", "s")
    text = files.ascii_text(20 * 1024 * 1024, 2)
    path = files.write(os.path.join(work, "large.txt"), text)
    n_rows = len(files.expected_rows(text))
    assert copy_watched(mount, table, path, n_before) <= {0, n_rows}
    assert mount.ledger(table, "large.txt")["content_hash"] == files.sha256(text.encode())
    assert mount.chunks(table, "large.txt") == files.expected_rows(text)
    run("cmp", path, mount.zone(table, "large.txt")).ok()
    assert n_staged(mount) == 0
    assert_bounded(service)


def test_the_pages_of_a_document_are_there_all_at_once(mount, service, work, table):
    """Rows whose values were staged, and larger than a request's part."""
    n_before = prepared(mount, table, "small.txt", "s")
    path = files.write(os.path.join(work, "many.pdf"), pdfs.simple(50))
    assert copy_watched(mount, table, path, n_before) <= {0, 50}
    file_id = mount.ledger(table, "many.pdf")["file_id"]
    rows = mount.sql(f'SELECT page_index, image, text FROM "{table}" WHERE file_id = %s '
                     "ORDER BY page_index", file_id)
    assert [row[0] for row in rows] == list(range(50))
    assert all(bytes(row[1]).startswith(b"\x89PNG") for row in rows)
    key = mount.sql(f'SELECT id FROM "{table}" WHERE file_id = %s AND page_index = 7',
                    file_id)[0][0]
    assert files.read(mount.at(table, "rows", str(key), "image.png")) == bytes(rows[7][1])
    assert n_staged(mount) == 0
    assert_bounded(service)


def test_a_large_file_is_replaced_all_at_once(mount, service, work, table):
    """Atomic and repeatable: the old rows until the new ones are there."""
    first, second = files.ascii_text(3_000_000, 3), files.ascii_text(8_000_000, 4)
    prepared(mount, table, "a.txt", first)
    counts = {len(files.expected_rows(text)) for text in (first, second)}
    path = files.write(os.path.join(work, "a.txt"), second)
    assert copy_watched(mount, table, path, 0) <= counts
    assert mount.chunks(table, "a.txt") == files.expected_rows(second)
    assert n_staged(mount) == 0 and mount.n_orphans(table) == 0


def test_a_large_file_that_is_interrupted_leaves_nothing(mount, service, work, table):
    """Ingest, Interrupt: no row, and none in the staging table."""
    n_before = prepared(mount, table, "small.bin", b"s")
    path = files.write(os.path.join(work, "large.bin"), files.binary(24 * 1024 * 1024, 5))
    service.latency = 0.4
    copying = subprocess.Popen(["cp", path, mount.zone(table)], stderr=subprocess.DEVNULL)
    wait_for(lambda: n_staged(mount), 20, "the upload to begin")
    copying.terminate()
    assert copying.wait(20) != 0
    service.latency = 0
    wait_for(lambda: n_staged(mount) == 0, 10, "the staging table to be emptied")
    assert mount.n_rows(table) == n_before and mount.ledger(table, "large.bin") is None


def test_a_daemon_killed_in_the_middle_leaves_no_row_and_its_rest_goes_a_day_later(
        backend, another_mount, service, work, table):
    """Ingest, Durability: and what is in the staging table is nobody's."""
    one = another_mount("killed")
    n_before = prepared(one, table, "small.bin", b"s")
    path = files.write(os.path.join(work, "large.bin"), files.binary(24 * 1024 * 1024, 6))
    service.latency = 0.4
    copying = subprocess.Popen(["cp", path, one.zone(table)], stderr=subprocess.DEVNULL)
    wait_for(lambda: n_staged(one), 20, "the upload to begin")
    one.kill9()
    assert copying.wait(20) != 0
    service.latency = 0
    wait_for(lambda: service.n_under_way == 0, 10, "the end of its requests")
    assert n_staged(one) > 0
    assert one.n_rows(table) == n_before and one.ledger(table, "large.bin") is None
    run("fusermount3", "-uz", one.path).ok()

    again = another_mount("killed")
    files.write(again.zone(table, "large.bin"), files.read(path))
    assert n_staged(again) > 0, "it may be of a mount that still lives"
    assert again.n_rows(table) == n_before + 1
    again.umount().ok()
    one.sql(f"UPDATE {STAGING} SET staged_at = now() - interval '25 hours'")
    last = another_mount("killed")
    files.write(last.zone(table, "other.bin"), files.binary(3_000_000, 7))
    assert n_staged(last) == 0
    run("cmp", path, last.zone(table, "large.bin")).ok()


@pytest.mark.parametrize("where", ["before", "middle", "after"])
def test_a_line_cut_during_the_upload_or_at_its_commit_loses_and_doubles_nothing(
        mount, service, work, table, where):
    """The service, Repeating: batches are repeated; a commit is looked up."""
    n_before = prepared(mount, table, "small.bin", b"s")
    content = files.binary(12 * 1024 * 1024, 8)
    path = files.write(os.path.join(work, "large.bin"), content)
    service.cut(where, n=2, when="/tables/query/batch")
    service.cut(where, when=statement("^DO"))
    ran = run("cp", path, mount.zone(table), timeout=90)
    assert service.n_faults_left() == 0
    if ran.code:
        assert where == "before", "what was committed must be found"
        assert mount.n_rows(table) == n_before and mount.ledger(table, "large.bin") is None
        run("cp", path, mount.zone(table)).ok()
    assert mount.data(table, "large.bin") == [(content, "large.bin")]
    assert mount.n_rows(table) == n_before + 1 and mount.n_orphans(table) == 0
    wait_for(lambda: n_staged(mount) == 0, 10, "the staging table to be emptied")
