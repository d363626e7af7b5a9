# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, The service, The token; and Access, Secrets: where it must not be."""

import glob
import os
import resource
import signal
import subprocess
import time

import pytest

from support import files
from support.fixtures import make_backend, tear_down
from support.mount import PROGRAM, Mount, environment, program, wait_for
from support.postgres import children
from support.service import statement


@pytest.fixture(scope="module")
def backend(postgres):
    made = make_backend("service", postgres)
    yield made
    tear_down(made)


@pytest.fixture(scope="module")
def shared_mount(backend):
    return Mount(backend, options=["--log-level", "debug"]).start()


def write_token(path, token):
    """As programs replace a file: all at once."""
    files.write(path + ".new", token + "\n")
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)
    return path


@pytest.fixture
def by_file(backend, work):
    """(mount whose token is in a file, that file)"""
    path = write_token(os.path.join(work, "token"), backend.service.token)
    one = Mount(backend, "by_file", options=["--token-file", path])
    del one.env["DEEPLAKE_API_KEY"]
    yield one.start(), path
    one.teardown()


def test_a_token_file_is_read_again_when_the_service_refuses_the_token(backend, by_file):
    """The token: the mount goes on with the new one, and nobody notices."""
    one, path = by_file
    os.mkdir(one.zone("t"))
    files.write(one.zone("t", "a.bin"), b"a")
    write_token(path, backend.service.replace_token())
    backend.service.forget_requests()
    files.write(one.zone("t", "b.bin"), b"b")
    assert one.data("t", "b.bin") == [(b"b", "b.bin")]
    assert [request.status for request in backend.service.requests].count(401) <= 5


def test_a_token_that_has_expired_gives_eacces_until_its_file_has_a_new_one(backend, by_file):
    """The token: EACCES, with the reason, and no remount."""
    one, path = by_file
    os.mkdir(one.zone("u"))
    new = backend.service.replace_token()
    time.sleep(1.1)
    with pytest.raises(PermissionError):
        os.listdir(one.zone("u"))
    errors = files.read(one.at(".deeplake", "errors.jsonl")).decode()
    assert "Token expired: token is expired" in errors
    assert f"Put a new token into {path}; it is read again by itself." in errors
    write_token(path, new)
    assert os.listdir(one.zone("u")) == []
    files.write(one.zone("u", "a.bin"), b"a")
    assert one.data("u", "a.bin") == [(b"a", "a.bin")]


def test_a_token_of_the_environment_that_has_expired_says_what_to_do(backend, another_mount):
    """The token: it cannot be replaced while the program runs."""
    one = another_mount("by_variable")
    backend.service.replace_token()
    time.sleep(1.1)
    with pytest.raises(PermissionError):
        os.listdir(one.path)
    errors = files.read(one.at(".deeplake", "errors.jsonl")).decode()
    assert "Set DEEPLAKE_API_KEY to a new token" in errors


# Where it must not be


def pieces(token):
    """What gives it away: its claims and its signature."""
    _, claims, signature = token.split(".")
    return claims.encode(), signature.encode()


def assert_unseen(token, texts):
    n_looked_at = 0
    for name, text in texts:
        for piece in pieces(token):
            assert piece not in text, f"{name} shows the token"
        n_looked_at += 1
    assert n_looked_at > 0


def all_below(folder, but):
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(root, name) != but]
        for name in names:
            path = os.path.join(root, name)
            if os.path.isfile(path):
                yield path, files.read(path)


def of_processes(pids):
    for pid in pids:
        for name in ("cmdline", "environ"):
            yield f"/proc/{pid}/{name}", files.read(f"/proc/{pid}/{name}")


def use_and_fail(one, service, table):
    """Every kind of failure that could quote it."""
    zone = one.zone(table)
    os.mkdir(zone)
    files.write(os.path.join(zone, "a.txt"), files.text(5000, 1))
    for act in (lambda: service.fail(401, when=statement("INSERT|^DO"), n=None),
                lambda: service.fail(502, is_html=True, when=statement("INSERT|^DO"), n=None),
                lambda: service.cut("before", when=statement("INSERT|^DO"), n=None)):
        act()
        with pytest.raises(OSError):
            files.write(os.path.join(zone, "b.txt"), b"b")
        service.clear()
    with pytest.raises(OSError):
        files.write(one.at("wrong.sql"), "SELECT * FROM missing")
    files.write(one.at("settings.sql"), "SELECT * FROM pg_settings")
    yield "settings.json", files.read(one.at("settings.json"))
    yield "b.txt.error", files.read(os.path.join(zone, "b.txt.error"))
    for name in os.listdir(one.at(".deeplake")):
        yield name, files.read(one.at(".deeplake", name))


def test_a_mount_does_not_show_its_token(backend, another_mount, table):
    """Access, Secrets: in log, errors, reasons, control files, arguments, environments, and the
    table of mounts."""
    one = another_mount("quiet", options=["--log-level", "debug"])
    token = one.env["DEEPLAKE_API_KEY"]
    shown = list(use_and_fail(one, backend.service, table))
    pids = [*one.pids, *(child for pid in one.pids for child in children(pid))]
    ran = program("status", "--state-dir", backend.state_dir, "--json", env=one.env)
    assert_unseen(token, [*shown, *of_processes(pids), *all_below(backend.folder, one.path),
                          ("/proc/mounts", files.read("/proc/mounts")),
                          ("status", ran.out_bytes + ran.err_bytes)])
    one.umount().ok()
    assert_unseen(token, all_below(backend.folder, one.path))


def test_a_command_does_not_show_its_token_while_it_runs(backend):
    """Access, Secrets: in its arguments and its environment."""
    token = backend.service.token
    running = subprocess.Popen(
        [PROGRAM, "query", *backend.options(), "SELECT pg_sleep(30), 'while it runs'"],
        env=backend.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: any("while it runs" in sql for sql in backend.service.statements()),
                 20, "the query to run")
        assert_unseen(token, of_processes([running.pid]))
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130


def test_the_token_of_a_command_line_is_not_left_there(backend):
    """Access, Secrets: it is refused, and overwritten where others could see it."""
    ran = program("mount", *backend.options(), "--token=" + backend.service.token, "/nowhere",
                  env=environment())
    assert ran.code == 1
    assert_unseen(backend.service.token, [("output", ran.out_bytes + ran.err_bytes)])


def allow_core_dumps():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_core_dump_does_not_have_the_token(backend, work):
    """Access, Secrets: of a program that has asked the service, and is asking it."""
    if files.read("/proc/sys/kernel/core_pattern").strip() != b"core":
        pytest.skip("core dumps of this machine go elsewhere")
    token = backend.service.token
    running = subprocess.Popen(
        [PROGRAM, "query", *backend.options(), "SELECT pg_sleep(30), 'when it dies'"],
        env=backend.environment(), cwd=work, preexec_fn=allow_core_dumps,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any("when it dies" in sql for sql in backend.service.statements()), 20,
             "the query to run")
    running.send_signal(signal.SIGABRT)
    assert running.wait(30) == -signal.SIGABRT
    found = glob.glob(os.path.join(work, "core*"))
    assert len(found) == 1, "no core dump"
    core = files.read(found[0])
    assert len(core) > 1_000_000 and b"when it dies" in core
    assert_unseen(token, [("the core dump", core)])
