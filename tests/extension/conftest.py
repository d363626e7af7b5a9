# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the extension's tests: a server of this build, a database per test."""

import contextlib
import itertools
import os
import sys

import psycopg2
import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import relocated, shared  # noqa: E402
from support.database import Database  # noqa: E402
from support.postgres import Postgres  # noqa: E402

SETTINGS = {
    "session_preload_libraries": "pg_deeplake",
    # So that a test may make a standby of it.
    "wal_level": "replica",
    "max_wal_senders": 4,
    "shared_buffers": "128MB",
    "log_checkpoints": "off",
    "autovacuum": "off",  # a test vacuums when it means to
}
TEMPLATE = "with_extension"

_numbers = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: minutes; scripts/test --slow runs it")
    config.addinivalue_line("markers", "alone: measures; nothing else may run meanwhile")
    shared.begin()


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shared.end()


def pytest_collection_modifyitems(items):
    reason = relocated.why_not()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the last lines of what the server said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("server", "own_server"):
            server = item.funcargs.get(name)
            if server is not None:
                report.sections.append((f"log of {name}", server.read_log()[-4000:]))


def start_server(programs, **settings):
    server = Postgres(settings={**SETTINGS, **settings}, programs=programs)
    try:
        server.start()
        template = Database(server, TEMPLATE)
        server.create_database(TEMPLATE)
        template.sql("CREATE EXTENSION pg_deeplake")
        template.close()
    except BaseException:
        server.destroy()
        raise
    return server


def new_database(server, template=TEMPLATE):
    name = f"test_{next(_numbers)}"
    connection = server.connect("postgres")
    try:
        connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        connection.close()
    return Database(server, name)


@pytest.fixture(scope="session")
def programs():
    """The folder of a postgres that has this build's extension."""
    with relocated.Relocated() as made:
        yield made.programs


@pytest.fixture(scope="session")
def server(programs):
    """One server for the run; a test must not stop it."""
    made = start_server(programs)
    yield made
    made.destroy()


@pytest.fixture
def db(server):
    """A new database with the extension, whose library every connection preloads unless it
    asks for db.connect(preload=False)."""
    made = new_database(server)
    yield made
    made.close()
    drop(server, made.name)


@pytest.fixture
def plain_db(server):
    """A new database without the extension."""
    made = new_database(server, "template0")
    yield made
    made.close()
    drop(server, made.name)


@pytest.fixture
def own_server(programs):
    """A server that the test may restart() and kill9() and start() again, with fsync, so that
    what a crash leaves is what a disk would hold; own_server.standby() makes a standby."""
    made = start_server(programs, fsync="on")
    yield made
    made.destroy()


@pytest.fixture
def own_db(own_server):
    """A database of own_server; after a restart its sql() connects anew."""
    made = new_database(own_server)
    yield made
    made.close()


@pytest.fixture
def server_with(programs):
    """with server_with(name=value, …) as (server, db): as own_server and own_db, with further
    settings."""
    @contextlib.contextmanager
    def make(**settings):
        made = start_server(programs, **{"fsync": "on", **settings})
        try:
            yield made, new_database(made)
        finally:
            made.destroy()
    return make


def drop(server, name):
    try:
        connection = server.connect("postgres")
        connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.close()
    except psycopg2.Error:
        pass  # the test has said what is wrong with the server
