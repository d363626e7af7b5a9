# SPDX-License-Identifier: Apache-2.0
"""The PostgreSQL behind the stand-in for the service: a pool of sessions, statements, lag."""

import re
import threading
import time

import psycopg2.extensions

from support.libpq import ConnectionLost, Session, StatementError
from support.postgres import Postgres
from support.service_values import Encoders

N_IDLE_SESSIONS = 8
APPLICATION_NAME = "deeplake-stand-in"
READ_ONLY_TRANSACTION = "25006"

_COMMENT = r"(?:\s|--[^\n]*(?:\n|\Z)|(?>/\*.*?\*/)|[(;])*+"
_READS = re.compile(_COMMENT + r"(select|with|values|table|show|explain)\b", re.I | re.S)
_CHANGES = re.compile(r"\b(insert|update|delete|merge)\b", re.I)
# What outlives its statement in a session; the next request may get another one.
_SETS = re.compile(
    _COMMENT.encode() + rb"(?:set|reset|listen|prepare|declare|load|discard)\b", re.I | re.S)
_KEEPS = re.compile(
    rb"\b(?:temp|temporary|pg_temp|set_config|pg_(?:try_)?advisory_lock\w*)\b", re.I)
_LOOKED_AT_BYTES = 65536  # of a statement, for its words


def looks_like_a_read(statement):
    """By its words alone: enough for switches, not for where a statement runs."""
    return bool(_READS.match(statement)) and not _CHANGES.search(statement)


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


class Pool:
    """Sessions on one database of one server."""

    def __init__(self, dsn):
        self._conninfo = psycopg2.extensions.make_dsn(
            dsn, application_name=APPLICATION_NAME, client_encoding="UTF8", connect_timeout=10,
            options="-c client_min_messages=error -c timezone=UTC -c datestyle=ISO "
                    "-c bytea_output=hex -c extra_float_digits=1")
        self._lock = threading.Lock()  # guards _idle, _is_closed
        self._idle = []
        self._is_closed = False

    def run(self, workspace, statement, values=()):
        return self.use(workspace, lambda session: session.run(statement, values), statement)

    def use(self, workspace, act, statement=b""):
        """act(session), with a session whose search_path is the workspace's; which serves others
        afterwards, unless statement left something behind in it."""
        session = self._take(workspace)
        try:
            return act(session)
        except ConnectionLost:
            self._close_idle()  # the server was started anew: the others are dead too
            raise
        finally:
            self._give_back(session, statement)

    def _take(self, workspace):
        wanted = f"{identifier(workspace)}, public"
        while True:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            is_new = session is None
            session = session or Session(self._conninfo)
            if session.search_path == wanted:
                return session
            try:
                session.run(b"SELECT set_config('search_path', $1, false)", (wanted.encode(),))
                session.search_path = wanted
                return session
            except (ConnectionLost, StatementError):
                session.close()
                if is_new:
                    raise

    def _give_back(self, session, statement):
        words = statement[:_LOOKED_AT_BYTES]
        if session.is_usable and not _SETS.match(words) and not _KEEPS.search(words):
            with self._lock:
                if len(self._idle) < N_IDLE_SESSIONS and not self._is_closed:
                    self._idle.append(session)
                    return
        session.close()

    def _close_idle(self):
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def close(self):
        with self._lock:
            self._is_closed = True
        self._close_idle()


class Database:
    """Runs what a request asks for, and makes the bodies of answers."""

    def __init__(self, dsn, standby_dsn=None):
        self._primary = Pool(dsn)
        self._standby = Pool(standby_dsn) if standby_dsn else None
        self._encoders = Encoders()
        self._known = set()  # workspaces that were there; a set's add and discard are atomic
        self.n_on_standby = 0

    def close(self):
        for pool in (self._primary, self._standby):
            if pool:
                pool.close()

    def has_workspace(self, name):
        if name not in self._known and self._primary.run(
                "public", b"SELECT FROM pg_namespace WHERE nspname = $1",
                (name.encode(),)).n_rows:
            self._known.add(name)
        return name in self._known

    def has_workspace_now(self, name):
        self._known.discard(name)
        return self.has_workspace(name)

    def make_workspace(self, name):
        """False when it is there already."""
        try:
            self._primary.run("public", b"CREATE SCHEMA %b" % identifier(name).encode())
            return True
        except StatementError as error:
            if error.sqlstate in ("42P06", "23505"):
                return False
            raise

    def workspaces(self):
        rows = self._primary.run(
            "public", b"SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"
            b" AND nspname <> 'information_schema' ORDER BY 1").rows()
        return [row[0].decode() for row in rows]

    def tables(self, workspace):
        rows = self._primary.run(
            workspace, b"SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
            b" AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)"
            b" ORDER BY 1", (workspace.encode(),)).rows()
        return [row[0].decode() for row in rows]

    def query(self, workspace, statement, values, client=None, timeout_ms=None, is_empty=False):
        """The body of the answer; None where 204 says it all. With is_empty rows are left
        out."""
        text = statement.encode("utf-8", "surrogatepass")
        deadline = time.monotonic() + timeout_ms / 1000 if timeout_ms else None

        def act(session):
            result = session.run(text, values, client, deadline)
            if result.has_rows:
                return self._encoders.answer(result, session, is_empty)
            if result.command.startswith(("INSERT", "UPDATE", "DELETE", "MERGE")):
                return b'{"columns":null,"rows":null,"row_count":%d}' % result.n_affected
            return None

        try:
            if self._standby and _READS.match(statement):
                return self._read(workspace, text, values, act)
            return self._primary.use(workspace, act, text)
        except StatementError as error:
            if error.sqlstate in ("42P01", "3F000"):
                self._known.discard(workspace)
            raise

    def _read(self, workspace, text, values, act):
        """On the standby, if it is a read: what does not fail there because it would write."""
        try:
            answer = self._standby.use(workspace, act, text)
            self.n_on_standby += 1
            return answer
        except StatementError as error:
            if error.sqlstate != READ_ONLY_TRANSACTION and self._is_read(
                    workspace, text, values):
                raise
        return self._primary.use(workspace, act, text)

    def _is_read(self, workspace, text, values):
        """A statement that fails on the standby for another reason, say for a table that is not
        there yet: would it write, where the table is?"""
        def act(session):
            session.run(b"START TRANSACTION READ ONLY")
            try:
                session.run(text, values)
            except StatementError as error:
                return error.sqlstate != READ_ONLY_TRANSACTION
            return True

        return self._primary.use(workspace, act)

    def batch(self, workspace, statement, rows, client=None):
        """Once per row of values, in one transaction; how many rows were affected."""
        text = statement.encode("utf-8", "surrogatepass")

        def act(session):
            session.run(b"BEGIN")
            session.prepare(text, client)
            count = 0
            for values in rows:
                result = session.run_prepared(values, client)
                count += result.n_affected
            session.run(b"COMMIT")
            return count

        return self._primary.use(workspace, act, text)


class LaggingPostgres:
    """A primary, and a hot standby that replays every commit a while after it happened. Use as a
    context manager. Costs some seconds, so only where a test needs it."""

    def __init__(self, lag_seconds, programs=None):
        self.lag_seconds = lag_seconds
        self.primary = Postgres(programs=programs, settings={
            "wal_level": "replica", "max_wal_senders": 4, "wal_keep_size": "'64MB'"})
        self.standby = None

    def __enter__(self):
        try:
            self.primary.start()
            self.standby = self.primary.standby()
            self.standby.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for server in (self.standby, self.primary):
            if server:
                server.destroy()

    def set_lag(self, seconds):
        connection = self.standby.connect("postgres")
        try:
            cursor = connection.cursor()
            cursor.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = {int(seconds * 1000)}")
            cursor.execute("SELECT pg_reload_conf()")
        finally:
            connection.close()

    def new_database(self, name):
        """(dsn, dsn on the standby) of a database that both have; from then on the lag holds."""
        self.set_lag(0)
        dsn = self.primary.create_database(name)
        self.primary.wait_for_replay(self.standby)
        self.set_lag(self.lag_seconds)
        return dsn, self.standby.dsn(name)

