# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Access: what other users may do on a mount with -o allow_other."""

import errno
import json
import os
import stat

import pytest

from support import files
from support.mount import Mount, run

NOBODY = 65534
STRANGER = 4711
GROUP = 1234

# Runs the code that is its first argument; what the system refuses becomes the exit status.
WRAPPER = """
import os, sys
try:
    exec(sys.argv[1], {"os": os, "sys": sys, "path": sys.argv[2], "more": sys.argv[3:]})
except OSError as error:
    sys.exit(error.errno)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")


def act(code, path, *more, uid=NOBODY, gid=NOBODY, groups=()):
    """Runs code as another user; 0 or the errno that it got."""
    chosen = "--groups=" + ",".join(map(str, groups)) if groups else "--clear-groups"
    ran = run("setpriv", f"--reuid={uid}", f"--regid={gid}", chosen, "/usr/bin/python3", "-c",
              WRAPPER, code, path, *more, cwd="/")
    assert "Traceback" not in ran.err, ran
    return ran.code


def read(path, **who):
    return act("os.open(path, os.O_RDONLY)", path, **who)


def name_of(code):
    return errno.errorcode.get(code, "nothing") if code else "nothing"


@pytest.fixture(scope="module")
def mount_for_all(backend):
    one = Mount(backend, "for_all", options=["-o", "allow_other"]).start()
    files.write(one.at("saved.sql"), b"SELECT 'a literal' AS said")
    yield one
    one.teardown()


@pytest.fixture
def opened(mount_for_all, table):
    """A mount for all, with a saved query and a table that has a row, a file and an index."""
    os.mkdir(mount_for_all.zone(table))
    files.write(mount_for_all.zone(table, "a.txt"), b"hello")
    os.mkdir(mount_for_all.at(table, "indexes", "file_id.btree"))
    return mount_for_all


def builder(table):
    return (table, ".select", "pg_read_file('/etc/passwd') AS said", "results.json")


def test_modes_and_owners_of_what_the_mount_makes(opened, table):
    """Access: the owner is who mounted; others look at tables, rows and results."""
    expected = {
        (): 0o755, (table,): 0o755, (table, "rows"): 0o755, (table, "rows", "1"): 0o755,
        (table, "rows", "1", "text.txt"): 0o444, (table, "query.sql"): 0o644,
        (table, "query.json"): 0o444, (table, "schema.json"): 0o444,
        (table, "info.json"): 0o444, (table, "indexes"): 0o755,
        (table, "indexes", "file_id.btree"): 0o755,
        (table, "indexes", "file_id.btree", "info.json"): 0o444,
        (table, "results.json"): 0o444, (table, ".select"): 0o500,
        (table, ".where", "id > 0"): 0o500, ("saved.sql",): 0o644,
        ("saved.sql.text",): 0o400, ("saved.csv",): 0o444, ("ingest",): 0o755,
        (".deeplake",): 0o755, (".deeplake", "README"): 0o444,
        (".deeplake", "status.json"): 0o444, (".deeplake", "errors.jsonl"): 0o400,
        (".deeplake", "ingest.jsonl"): 0o400, (".deeplake", "metrics"): 0o400,
        (".deeplake", "wait"): 0o400,
    }
    for parts, mode in expected.items():
        found = os.stat(opened.at(*parts))
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (
            mode, os.geteuid(), os.getegid()), parts


def test_another_user_may_look(opened, table):
    """Access: tables, rows, saved queries and status."""
    for parts in ((table, "query.sql"), (table, "query.csv"), (table, "schema.json"),
                  (table, "info.json"), (table, "rows", "1", "text.txt"), ("saved.sql",),
                  (table, "indexes", "file_id.btree", "definition.sql"),
                  (table, "results.json"), (".deeplake", "README"),
                  (".deeplake", "status.json")):
        assert read(opened.at(*parts)) == 0, parts
    for parts in ((), (table,), (table, "rows"), ("ingest",), ("ingest", table), (".deeplake",)):
        assert act("os.listdir(path)", opened.at(*parts)) == 0, parts


def test_another_user_may_not_see_what_others_do(opened, table):
    """Access: paths, messages and counters are for the owner."""
    with pytest.raises(OSError):
        files.write(opened.zone(table, "bad.txt"), b"\0")
    for name in ("errors.jsonl", "ingest.jsonl", "metrics", "wait"):
        assert read(opened.at(".deeplake", name)) == errno.EACCES, name
        files.read(opened.at(".deeplake", name))
    assert read(opened.at("saved.sql.text")) == errno.EACCES
    assert files.read(opened.at("saved.sql.text")) == b"SELECT 'a literal' AS said"


def test_another_user_may_not_bring_sql(opened, table):
    """Access: it would run with the rights that the mount has on the server."""
    assert read(opened.at(*builder(table))) == errno.EACCES
    assert act("os.listdir(path)", opened.at(table, ".where")) == errno.EACCES
    for code in ("os.open(path, os.O_RDWR)", "os.open(path, os.O_WRONLY | os.O_TRUNC)",
                 "os.open(path, os.O_WRONLY | os.O_APPEND)", "os.truncate(path, 0)",
                 "os.unlink(path)", "os.rename(path, path + '.sql')"):
        for parts in (("saved.sql",), ("query.sql",), (table, "query.sql")):
            assert act(code, opened.at(*parts)) == errno.EACCES, (code, parts)
    assert act("os.open(path, os.O_CREAT | os.O_WRONLY)", opened.at("new.sql")) == errno.EACCES
    assert files.read(opened.at("saved.sql.text")) == b"SELECT 'a literal' AS said"


@pytest.mark.parametrize("code, parts", [
    ("os.mkdir(path)", ("{table}_2",)),
    ("os.rmdir(path)", ("{table}",)),
    ("os.rename(path, path + '_2')", ("{table}",)),
    ("os.mkdir(path)", ("ingest", "{table}_2")),
    ("os.rmdir(path)", ("ingest", "{table}")),
    ("os.mkdir(path)", ("{table}", "indexes", "id.hash")),
    ("os.rmdir(path)", ("{table}", "indexes", "file_id.btree")),
    ("os.rmdir(path)", ("{table}", "rows", "1")),
    ("os.open(path, os.O_CREAT | os.O_WRONLY)", ("ingest", "{table}", "b.txt")),
    ("os.open(path, os.O_CREAT | os.O_WRONLY)", ("ingest", "{table}", ".ingest.json")),
    ("os.mkdir(path)", ("ingest", "{table}", "folder")),
    ("os.open(path, os.O_WRONLY)", ("ingest", "{table}", "a.txt")),
    ("os.truncate(path, 0)", ("ingest", "{table}", "a.txt")),
    ("os.unlink(path)", ("ingest", "{table}", "a.txt")),
    ("os.rename(path, path + '.md')", ("ingest", "{table}", "a.txt")),
    ("os.setxattr(path, 'user.a', b'b')", ("ingest", "{table}", "a.txt")),
    ("os.setxattr(path, 'user.a', b'b')", ("ingest", "{table}")),
])
def test_another_user_changes_nothing(opened, table, code, parts):
    """Access: EACCES, and nothing happened."""
    path = opened.at(*(part.format(table=table) for part in parts))
    assert name_of(act(code, path)) == "EACCES"
    assert opened.ledger_paths(table) == ["a.txt"]
    assert opened.n_rows(table) == 1
    assert f"{table}_2" not in os.listdir(opened.at("ingest"))
    assert "file_id.btree" in os.listdir(opened.at(table, "indexes"))


@pytest.mark.parametrize("code", ["os.chmod(path, 0o777)", "os.chown(path, 65534, 65534)",
                                  "os.utime(path, (1, 1))"])
def test_attributes_are_changed_by_the_owner_alone(opened, table, code):
    """Access: EPERM, as on a local disk."""
    for path in (opened.zone(table), opened.zone(table, "a.txt")):
        before = os.stat(path)
        assert act(code, path) == errno.EPERM
        after = os.stat(path)
        assert (before.st_mode, before.st_uid, before.st_mtime) == (
            after.st_mode, after.st_uid, after.st_mtime)


def test_a_file_that_its_owner_keeps_to_himself(opened, table):
    """Access: the mode of an ingested file guards the file, not its rows."""
    files.write(opened.zone(table, "own.bin"), b"mine")
    os.chmod(opened.zone(table, "own.bin"), 0o600)
    assert read(opened.zone(table, "own.bin")) == errno.EACCES
    assert act("os.getxattr(path, 'user.deeplake.kind')",
               opened.zone(table, "own.bin")) == errno.EACCES
    os.chmod(opened.zone(table), 0o700)
    assert act("os.stat(path)", opened.zone(table, "a.txt")) == errno.EACCES
    assert act("os.listdir(path)", opened.zone(table)) == errno.EACCES
    assert read(opened.at(table, "rows", "2", "data.bin")) == 0


def test_a_drop_zone_for_all(opened, table):
    """Access: what another user copies in is his; what is others' stays theirs."""
    os.chmod(opened.zone(table), 0o1777)
    write = "handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o640); os.write(handle, b'x'); " \
            "os.close(handle)"
    assert act(write, opened.zone(table, "b.txt")) == 0
    found = os.stat(opened.zone(table, "b.txt"))
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, NOBODY, 0o640)
    entry = opened.ledger(table, "b.txt")
    assert (entry["uid"], entry["gid"]) == (NOBODY, NOBODY)
    assert opened.chunks(table, "b.txt") == [(0, "x")]

    path = opened.zone(table, "b.txt")
    assert act("os.chmod(path, 0o600); os.utime(path, (5, 5)); "
               "os.setxattr(path, 'user.a', b'b')", path) == 0
    assert act("os.chown(path, 0, 0)", path) == errno.EPERM
    stranger = {"uid": STRANGER, "gid": STRANGER}
    assert read(path, **stranger) == errno.EACCES
    assert act("os.unlink(path)", path, **stranger) == errno.EPERM, "the sticky bit"
    assert act("os.rename(path, path + '.md')", path, **stranger) == errno.EPERM
    assert act("os.rename(path + '/../a.txt', path)", os.path.join(opened.zone(table), "."),
               **stranger) != 0
    assert act("os.unlink(path)", opened.zone(table, "a.txt")) == errno.EPERM
    assert act(write, opened.zone(table, "a.txt")) == errno.EACCES
    assert act("os.rename(path, more[0])", path, opened.zone(table, "a.txt")) == errno.EPERM

    assert act("os.mkdir(path, 0o755)", opened.zone(table, "own")) == 0
    assert os.stat(opened.zone(table, "own")).st_uid == NOBODY
    assert act("os.unlink(path)", path) == 0
    assert opened.ledger_paths(table) == ["a.txt"]


def test_another_user_reads_why_his_file_was_refused(opened, table):
    """Access; Ingest, Refusals."""
    os.chmod(opened.zone(table), 0o1777)
    bad = "handle = os.open(path, os.O_CREAT | os.O_WRONLY); os.write(handle, b'\\0'); " \
          "os.close(handle)"
    assert act(bad, opened.zone(table, "bad.txt")) == errno.EINVAL
    assert read(opened.zone(table, "bad.txt.error")) == 0
    failure = json.loads(files.read(opened.at(".deeplake", "errors.jsonl")).splitlines()[-1])
    assert failure["uid"] == NOBODY


def shown(path):
    found = os.stat(path)
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


@pytest.mark.parametrize("mode", [0o777, 0o2777, 0o3777])
def test_groups_are_given_as_on_a_local_disk(opened, table, work, mode):
    """Access: the set-group-ID bit of a folder."""
    os.chmod(work, 0o755)
    local = os.path.join(work, "local")
    os.mkdir(local)
    results = []
    for folder in (local, opened.zone(table)):
        os.chown(folder, 0, GROUP)
        os.chmod(folder, mode)
        code = ("os.umask(0o27); os.mkdir(path + '/sub'); os.close(os.open(path + '/b.txt', "
                "os.O_CREAT | os.O_WRONLY, 0o2775)); os.close(os.open(path + '/sub/c.txt', "
                "os.O_CREAT | os.O_WRONLY)); os.mkdir(path + '/sub/deep', 0o700)")
        assert act(code, folder) == 0
        results.append([shown(os.path.join(folder, *parts)) for parts in (
            ("b.txt",), ("sub",), ("sub", "c.txt"), ("sub", "deep"))])
    assert results[0] == results[1]


@pytest.mark.parametrize("mode", [0o4777, 0o6777, 0o2777, 0o1777])
@pytest.mark.parametrize("uid", [NOBODY, 0])
def test_writing_takes_privileges_away_as_on_a_local_disk(opened, table, work, mode, uid):
    """Access: set-user-ID and set-group-ID bits."""
    os.chmod(work, 0o755)
    results = []
    for folder in (work, opened.zone(table)):
        path = files.write(os.path.join(folder, "a.bin"), b"one")
        os.chmod(path, mode)
        assert act("handle = os.open(path, os.O_WRONLY); os.write(handle, b'two'); "
                   "os.close(handle)", path, uid=uid, gid=uid) == 0
        results.append(shown(path))
    assert results[0] == results[1]


def test_a_group_shares_the_mount(another_mount, table):
    """Access: umask and gid."""
    one = another_mount(options=["-o", f"allow_other,umask=007,gid={GROUP}"])
    member = {"groups": (GROUP,)}
    assert stat.S_IMODE(os.stat(one.path).st_mode) == 0o770
    assert os.stat(one.path).st_gid == GROUP
    assert act("os.listdir(path)", one.path) == errno.EACCES
    assert act("os.mkdir(path + '/t'); os.mkdir(path + '/ingest/' + more[0])", one.path, table,
               **member) == 0
    write = "handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o660); " \
            "os.write(handle, more[0].encode()); os.close(handle)"
    assert act(write, one.zone(table, "a.txt"), "hello", **member) == 0
    assert act(write, one.at("query.sql"), "SELECT 7 AS seven", **member) == 0
    assert json.loads(files.read(one.at("query.sql"))) == [{"seven": 7}]
    assert read(one.at(table, ".where", "id > 0", "results.json"), **member) == 0
    for name in ("errors.jsonl", "ingest.jsonl", "metrics", "wait"):
        assert read(one.at(".deeplake", name), **member) == 0
        assert stat.S_IMODE(os.stat(one.at(".deeplake", name)).st_mode) == 0o440
    assert act("os.rmdir(path)", one.at("t"), **member) == 0
    assert one.ledger(table, "a.txt")["uid"] == NOBODY


def test_rows_are_read_by_those_that_the_umask_names(another_mount, table):
    """Access: umask: not others."""
    one = another_mount(options=["-o", f"allow_other,umask=027,gid={GROUP}"])
    os.mkdir(one.at(table))
    member = {"groups": (GROUP,)}
    assert read(one.at(table, "query.sql"), **member) == 0
    assert read(one.at(table, "query.sql")) == errno.EACCES
    assert read(one.at(*builder(table)), **member) == errno.EACCES
    assert read(one.at(".deeplake", "errors.jsonl"), **member) == errno.EACCES
    assert act("os.mkdir(path)", one.at("t"), **member) == errno.EACCES


def test_without_allow_other_nobody_else_comes_in(mount):
    """Access."""
    assert act("os.stat(path)", mount.path) == errno.EACCES
    assert act("os.listdir(path)", mount.path) == errno.EACCES


@pytest.mark.parametrize("value", ["8", "22x", "1777", ""])
def test_a_umask_is_octal(backend, value):
    """Access: umask."""
    ran = backend.command("mount", "-o", f"umask={value}", os.path.join(backend.folder))
    assert ran.code != 0 and "umask" in ran.err, ran


