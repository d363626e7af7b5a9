# SPDX-License-Identifier: Apache-2.0
"""pytest fixtures that live and fault tests share.

With pytest-xdist (-n 2) each worker has a server of its own, and runs all tests of a module that
share a backend. Tests that measure time or memory are marked alone and run without it.
"""

import collections
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import psycopg2
import pytest

from support import relocated, shared
from support.mount import PROGRAM, Backend, Mount, live_mounts
from support.postgres import Postgres
from support.service import Service

KINDS = os.environ.get("DEEPLAKEFS_LIVE_KINDS", "embedded,external,service").split(",")
# Tests of the model go on for as long as they are told to, and then make shorter what failed.
TEST_LIMIT_SECONDS = int(os.environ.get("LIVE_TEST_LIMIT", "240")) + \
    int(float(os.environ.get("MODEL_SECONDS", "0")))

_numbers = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: minutes; scripts/test --slow runs it")
    config.addinivalue_line("markers", "alone: measures; nothing else may run meanwhile")
    config.addinivalue_line("markers", "not_by_service(reason): what the service cannot do")
    config.addinivalue_line("markers", "needs_no_program: checks the tests' own tools")
    # A shell's background job ignores it, and so would everything that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shared.begin()


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shared.end()


def group_of(nodeid):
    """Tests of one group share their module's fixtures, so one worker runs them all."""
    module, _, test = nodeid.partition("::")
    kind = re.search(r"\[(embedded|external|service)\b", test)
    return f"{module}[{kind[1]}]" if kind else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return ByGroup(config, log)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        # Large groups first, so that no worker has one left when the others are done.
        sizes = collections.Counter(group_of(item.nodeid) for item in items)
        items.sort(key=lambda item: (-sizes[group_of(item.nodeid)], group_of(item.nodeid)))
    for item in items:
        for marker in item.iter_markers("not_by_service"):
            if re.search(r"\[service\b", item.nodeid):
                item.add_marker(pytest.mark.skip(reason=f"the service: {marker.args[0]}"))
    if not os.access(PROGRAM, os.X_OK):
        missing = pytest.mark.skip(reason=f"no program at {PROGRAM}: build it, or set "
                                          "DEEPLAKEFS")
        for item in items:
            if "needs_no_program" not in item.keywords:
                item.add_marker(missing)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what daemon and server said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for mount in live_mounts:
            report.sections.append((f"logs of {mount.path}", mount.backend.logs()))


@pytest.fixture(autouse=True)
def watchdog():
    """A mount that hangs must not hang the suite: killing its daemon frees whoever waits."""
    def bite():
        for mount in list(live_mounts):
            mount.kill9()
            # Else a mount that vanishes without a word in its log looks like a crash.
            with open(mount.stderr_path, "a", encoding="utf-8") as log:
                log.write(f"killed by the tests' watchdog after {TEST_LIMIT_SECONDS} s\n")

    timer = threading.Timer(TEST_LIMIT_SECONDS, bite)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


@pytest.fixture(scope="session")
def programs():
    """PostgreSQL's programs with this build's extension; None, which stands for those that are
    installed, where the extension was not built."""
    if relocated.why_not():
        yield None
        return
    with relocated.Relocated() as made:
        yield made.programs


@pytest.fixture(scope="session")
def postgres(programs):
    """One cluster for the run; each test or module takes a database of it."""
    with Postgres(programs=programs) as server:
        yield server


@pytest.fixture
def own_postgres(programs):
    """A cluster that the test may kill."""
    with Postgres(programs=programs) as server:
        yield server


@pytest.fixture
def work():
    """A folder on local disk."""
    folder = tempfile.mkdtemp(prefix="deeplakefs-work-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def new_database(server):
    return server.create_database(f"test_{os.getpid()}_{next(_numbers)}")


def add_extension(dsn):
    """A database of the service has it, where the server does."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SELECT FROM pg_available_extensions WHERE name = 'pg_deeplake'")
    if cursor.rowcount:
        cursor.execute("CREATE EXTENSION pg_deeplake SCHEMA public")
    connection.close()


def make_backend(kind, postgres):
    if kind == "external":
        return Backend(kind, dsn=new_database(postgres))
    if kind == "service":
        dsn = new_database(postgres)
        add_extension(dsn)
        return Backend(kind, verify_dsn=dsn, service=Service(dsn))
    return Backend(kind, programs=postgres.programs)


def tear_down(backend):
    for mount in [one for one in live_mounts if one.backend is backend]:
        mount.teardown()
    backend.destroy()
    if backend.service:
        backend.service.assert_clean()


@pytest.fixture(scope="module", params=KINDS)
def backend(request, postgres):
    """All ways to a server; the module's tests share it."""
    made = make_backend(request.param, postgres)
    yield made
    tear_down(made)


@pytest.fixture(scope="module")
def shared_mount(backend):
    """One mount for the module: tests keep apart by the names of their tables."""
    return Mount(backend).start()


@pytest.fixture
def mount(shared_mount, backend):
    """The module's mount; started anew when the test before it left it dead."""
    current = getattr(backend, "current_mount", shared_mount)
    try:
        os.listdir(current.path)
    except OSError:
        current.teardown()
        current = Mount(backend).start()
    backend.current_mount = current
    return current


@pytest.fixture
def another_mount(backend):
    """Starts further mounts on the module's backend: another workspace, other options."""
    made = []

    def start(workspace=None, **arguments):
        one = Mount(backend, workspace or f"space{next(_numbers)}", **arguments)
        made.append(one)
        return one.start()

    yield start
    for one in made:
        one.teardown()


@pytest.fixture
def fresh_backend(postgres):
    """Makes backends for this test alone: fresh_backend("embedded"),
    fresh_backend("external"), fresh_backend("service")."""
    made = []

    def make(kind="embedded"):
        made.append(make_backend(kind, postgres))
        return made[-1]

    yield make
    for one in made:
        tear_down(one)


@pytest.fixture
def table(request):
    """A name for a table of this test alone."""
    words = re.sub(r"[^a-z0-9]+", "_", request.node.name.lower()).strip("_")
    return f"{words[:40]}_{next(_numbers)}"


@pytest.fixture
def zone(mount, table):
    folder = mount.zone(table)
    os.mkdir(folder)
    return folder


def mount_on_tmpfs(postgres, size):
    """For a fixture: a mount whose state folder is a tmpfs of this size."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    backend = Backend("external", dsn=new_database(postgres))
    os.mkdir(backend.state_dir)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs",
                              backend.state_dir], check=False, stderr=subprocess.PIPE)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs: " + mounted.stderr.decode())
    mount = Mount(backend).start()
    yield mount
    mount.teardown()
    subprocess.run(["umount", "-l", backend.state_dir], check=True)
    backend.destroy()


def used(mount):
    """Bytes of the disk that the state folder lies on."""
    found = os.statvfs(mount.backend.state_dir)
    return (found.f_blocks - found.f_bfree) * found.f_frsize
