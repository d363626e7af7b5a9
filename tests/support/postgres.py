# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL for tests: a cluster of our own, or the one that the program started itself.

No TCP, no fixed port: a Unix socket in a temporary folder. What is ended is ended by its pid.
"""

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2

from support.shared import made_once

SUPERUSER = "postgres"
PORT = 5432  # only the name of the socket file


def bin_dir():
    """The folder of initdb and postgres; the newest version that is installed."""
    found = shutil.which("initdb")
    if found:
        return os.path.dirname(os.path.realpath(found))
    folders = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not folders:
        raise RuntimeError("no initdb: install the package postgresql")
    newest = max(folders, key=lambda path: int(path.split("/")[4]))
    return os.path.dirname(newest)


def process_is_alive(pid):
    """True while pid runs; a zombie counts as gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """The pids of the direct children of pid."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(entry))
    return found


def wait_for_end(pids, timeout=20):
    """Waits until none of pids runs; says which ones still do."""
    deadline = time.monotonic() + timeout
    left = [pid for pid in pids if process_is_alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [pid for pid in left if process_is_alive(pid)]
    return left


def _drop_root():
    if os.geteuid() != 0:
        return {}
    return {"user": SUPERUSER, "group": SUPERUSER, "extra_groups": []}


def _make_folder(path):
    os.mkdir(path, 0o700)
    if os.geteuid() == 0:
        shutil.chown(path, SUPERUSER, SUPERUSER)


def _initdb(data, programs):
    _make_folder(data)
    subprocess.run(
        [os.path.join(programs, "initdb"), "--no-sync", "--auth=trust", "--encoding=UTF8",
         "--locale=C.UTF-8", "--username=" + SUPERUSER, "-D", data],
        check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=120, **_drop_root())


class Postgres:
    """A private cluster. Use as a context manager, or call start() and destroy()."""

    def __init__(self, fsync=False, settings=None, parent=None, programs=None):
        self.programs = programs or bin_dir()
        self.folder = tempfile.mkdtemp(prefix="deeplakefs-pg-", dir=parent)
        os.chmod(self.folder, 0o755)
        self.data = os.path.join(self.folder, "data")
        self.socket_dir = os.path.join(self.folder, "socket")
        self.log = os.path.join(self.folder, "server.log")
        self.process = None
        self.settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.socket_dir}'",
            "port": PORT,
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "fsync": "on" if fsync else "off",
            "max_connections": 100,
            "log_min_messages": "warning",
        }
        self.settings.update(settings or {})

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.destroy()

    def _make_cluster(self):
        _make_folder(self.socket_dir)
        # All relocated programs of a run are the same, wherever each worker has its own.
        name = "cluster" if self.programs == bin_dir() else "cluster-relocated"
        shared = made_once(name, lambda path: _initdb(path, self.programs))
        if shared:
            subprocess.run(["cp", "-a", shared, self.data], check=True)
        else:
            _initdb(self.data, self.programs)

    def start(self, timeout=60):
        """Returns once it takes connections."""
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self._make_cluster()
        arguments = [os.path.join(self.programs, "postgres"), "-D", self.data]
        for name, value in self.settings.items():
            text = str(value)
            arguments += ["-c", f"{name}={text[1:-1] if text.startswith(chr(39)) else text}"]
        deadline = time.monotonic() + timeout
        while True:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                    start_new_session=True, **_drop_root())
            if self._wait_until_it_answers(deadline):
                return
            # Backends of a killed postmaster may still hold the shared memory.
            if time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + self.read_log()[-4000:])
            time.sleep(0.1)

    def _wait_until_it_answers(self, deadline):
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                self.connect("postgres").close()
                return True
            except psycopg2.OperationalError:
                time.sleep(0.03)
        return False

    @property
    def pid(self):
        return self.process.pid

    def stop(self, timeout=30):
        """Fast shutdown: sessions are ended, nothing committed is lost."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout)

    def kill9(self):
        """As the kernel's out-of-memory killer would: no goodbye to anyone."""
        orphans = children(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        for pid in orphans:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        wait_for_end(orphans)

    def restart(self):
        self.stop()
        self.start()

    def destroy(self):
        try:
            self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database, socket_dir=None):
        return (f"host={socket_dir or self.socket_dir} port={PORT} user={SUPERUSER} "
                f"dbname={database}")

    def connect(self, database):
        connection = psycopg2.connect(self.dsn(database), connect_timeout=10)
        connection.autocommit = True
        return connection

    def create_database(self, name):
        connection = self.connect("postgres")
        try:
            connection.cursor().execute(f'CREATE DATABASE "{name}"')
        finally:
            connection.close()
        return self.dsn(name)

    def standby(self):
        """A hot standby, not started yet; this one needs wal_level=replica and senders. The
        caller destroys it."""
        made = Postgres(settings=self.settings, programs=self.programs)
        made.settings["unix_socket_directories"] = f"'{made.socket_dir}'"
        _make_folder(made.socket_dir)
        _make_folder(made.data)
        subprocess.run(
            [os.path.join(self.programs, "pg_basebackup"), "--write-recovery-conf",
             "--checkpoint=fast", "--no-sync", "--wal-method=stream", "-D", made.data,
             "-d", self.dsn("postgres")],
            check=True, cwd="/", timeout=120, **_drop_root())
        return made

    def wait_for_replay(self, standby, timeout=30):
        """Until standby has all that was committed here."""
        with self.connect("postgres") as here, standby.connect("postgres") as there:
            cursor = here.cursor()
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            goal = cursor.fetchone()[0]
            deadline = time.monotonic() + timeout
            cursor = there.cursor()
            while time.monotonic() < deadline:
                cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (goal,))
                if cursor.fetchone()[0]:
                    return
                time.sleep(0.05)
        raise RuntimeError(f"the standby did not come to {goal}:\n" + standby.read_log())

    def read_log(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""


class EmbeddedServer:
    """The server that the program keeps in <state_dir>/server; looked at from outside."""

    def __init__(self, state_dir):
        self.folder = os.path.join(state_dir, "server")
        self.data = os.path.join(self.folder, "data")
        self.socket_dir = os.path.join(self.folder, "socket")

    def pid(self):
        """The postmaster's pid, or None when it does not run."""
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as lines:
                pid = int(lines.readline())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return pid if process_is_alive(pid) else None

    def is_running(self):
        return self.pid() is not None

    def kill9(self):
        pid = self.pid()
        if pid is None:
            raise RuntimeError("the embedded server does not run")
        everyone = [pid] + children(pid)
        for one in everyone:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for_end(everyone)

    def _port(self):
        for path in glob.glob(os.path.join(self.socket_dir, ".s.PGSQL.*")):
            if not path.endswith(".lock"):
                return int(path.rpartition(".")[2])
        raise RuntimeError(f"no socket in {self.socket_dir}")

    def dsn(self):
        """A way in: which user and database it chose is found by asking."""
        port = self._port()
        failures = []
        for user in ("deeplake", "postgres", "root"):
            for database in ("postgres", "deeplake"):
                dsn = f"host={self.socket_dir} port={port} user={user} dbname={database}"
                try:
                    psycopg2.connect(dsn, connect_timeout=10).close()
                    return dsn
                except psycopg2.OperationalError as error:
                    failures.append(str(error).strip())
        raise RuntimeError("no way into the embedded server:\n" + "\n".join(failures))

    def connect(self):
        connection = psycopg2.connect(self.dsn(), connect_timeout=10)
        connection.autocommit = True
        return connection

    def stop(self):
        """For clearing up after a test that failed; the program does it itself otherwise."""
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGINT)
        if wait_for_end([pid], 15):
            self.kill9()
