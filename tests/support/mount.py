# SPDX-License-Identifier: Apache-2.0
"""The program under test: its commands, and a mount of it with everything around it."""

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2
import psycopg2.extras

from support.postgres import EmbeddedServer, process_is_alive, wait_for_end

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("DEEPLAKEFS", os.path.join(ROOT, "build", "mount", "deeplakefs"))
LEDGER = "deeplakefs_ledger"

live_mounts = []  # every Mount that was started and not yet torn down


class Ran:
    """What a command did."""

    def __init__(self, arguments, code, out, err):
        self.arguments = arguments
        self.code = code
        self.out_bytes = out
        self.err_bytes = err

    @property
    def out(self):
        return self.out_bytes.decode("utf-8", "replace")

    @property
    def err(self):
        return self.err_bytes.decode("utf-8", "replace")

    def ok(self):
        """Itself, or a failure that shows what it said."""
        assert self.code == 0, f"{self!r}"
        return self

    def __repr__(self):
        return (f"{self.arguments!r} ended with {self.code}\n"
                f"stdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}")


def environment(**more):
    """The environment of every command: warnings of GLib are fatal, messages in English."""
    made = {name: value for name, value in os.environ.items()
            if not name.startswith(("PG", "DEEPLAKE", "LAKE_", "XDG_"))}
    made.update(LC_ALL="C.UTF-8", G_DEBUG="fatal-warnings", HOME=tempfile.gettempdir())
    made.update(more)
    return made


def run(*arguments, timeout=120, env=None, cwd=None, stdin=None, user=None):
    """Runs a command; stdin is bytes. Output goes through files, so that a daemon which keeps
    our stdout open cannot make us wait for it."""
    extra = {"user": user, "extra_groups": []} if user else {}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, \
            tempfile.TemporaryFile() as source:
        source.write(stdin or b"")
        source.seek(0)
        process = subprocess.Popen(
            arguments, stdin=source, stdout=out, stderr=err, cwd=cwd, env=env or environment(),
            **extra)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise
        out.seek(0)
        err.seek(0)
        return Ran(arguments, process.returncode, out.read(), err.read())


def shell(script, *arguments, **options):
    """Runs a bash script; arguments are $1, $2 …"""
    return run("bash", "-c", script, "bash", *arguments, **options)


def program(*arguments, **options):
    return run(PROGRAM, *arguments, **options)


def wait_for(condition, timeout=10, what="the condition"):
    """Asks again and again; returns the first true answer, or fails with what was awaited."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for {what}"
        time.sleep(0.03)


def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        wanted = path.replace("\\", "\\134").replace(" ", "\\040")
        return any(line.split()[4] == wanted for line in lines)


def daemons_of(path):
    """Pids of this program whose arguments name path."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                arguments = cmdline.read().decode("utf-8", "replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        is_ours = os.path.basename(arguments[0]) == os.path.basename(PROGRAM)
        if is_ours and "mount" in arguments[1:2] and path in arguments \
                and process_is_alive(int(entry)):
            found.append(int(entry))
    return sorted(found)


class Backend:
    """Where a mount's data live: a state folder's embedded server, a database elsewhere, or a
    support.service.Service over the database verify_dsn, which the backend then owns."""

    def __init__(self, kind, dsn=None, verify_dsn=None, parent=None, programs=None,
                 service=None):
        self.kind = kind
        self.service = service
        self.read_lag = "0"  # the double has none unless it is told to
        self.programs = programs
        self.folder = tempfile.mkdtemp(prefix="deeplakefs-test-", dir=parent)
        os.chmod(self.folder, 0o755)
        self.state_dir = os.path.join(self.folder, "state")
        self.dsn = dsn
        self.verify_dsn = verify_dsn or dsn
        self.server = EmbeddedServer(self.state_dir)

    def options(self):
        chosen = ["--state-dir", self.state_dir]
        chosen += ["--server-bin-dir", self.programs] if self.programs else []
        if self.service:
            chosen += ["--api-url", self.service.url, "--read-lag", self.read_lag]
            chosen += ["--ca-file", self.service.ca_file] if self.service.ca_file else []
        return chosen + (["--dsn", self.dsn] if self.dsn else [])

    def variables(self):
        """What the environment of a command needs beside its options."""
        return {"DEEPLAKE_API_KEY": self.service.token} if self.service else {}

    def environment(self, **more):
        """Of every command on this backend."""
        return environment(**{**self.variables(), **more})

    def connect(self):
        """A connection that does not go through the program."""
        if not self.verify_dsn:
            return self.server.connect()
        connection = psycopg2.connect(self.verify_dsn, connect_timeout=10)
        connection.autocommit = True
        return connection

    def command(self, name, *arguments, workspace="live", **options):
        options.setdefault("env", self.environment())
        return program(name, *self.options(), "--workspace", workspace, *arguments, **options)

    def logs(self):
        texts = []
        for pattern in ("**/*.log", "*.stderr"):
            for path in sorted(glob.glob(os.path.join(self.folder, pattern), recursive=True)):
                with open(path, encoding="utf-8", errors="replace") as log:
                    texts.append(f"--- {path}\n" + "".join(log.readlines()[-60:]))
        return "\n".join(texts)

    def destroy(self):
        self.server.stop()
        if self.service:
            self.service.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Mount:
    """One mount of one workspace. Everything it makes lies in the backend's folder."""

    count = 0

    def __init__(self, backend, workspace="live", options=(), env=None):
        Mount.count += 1
        self.backend = backend
        self.workspace = workspace
        self.options = list(options)
        self.env = backend.environment(**(env or {}))
        self.path = os.path.join(backend.folder, f"mnt{Mount.count}")
        os.makedirs(self.path)
        self.stderr_path = os.path.join(backend.folder, f"mount{Mount.count}.stderr")
        self.pids = []
        self._connection = None

    def start(self, timeout=90):
        """Returns once the mount answers; the command's own promise."""
        arguments = [PROGRAM, "mount", *self.backend.options(), *self.options, self.workspace,
                     self.path]
        live_mounts.append(self)
        with open(self.stderr_path, "ab") as log:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, env=self.env, cwd="/")
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                raise
        self.pids = daemons_of(self.path)
        with open(self.stderr_path, encoding="utf-8", errors="replace") as log:
            assert code == 0, f"{arguments!r} ended with {code}:\n{log.read()}"
        assert is_mounted(self.path), "mount returned 0 and nothing is mounted"
        assert self.pids, "mount returned 0 and no daemon runs"
        return self

    @property
    def daemon_pid(self):
        return self.pids[-1]

    def kill9(self):
        """The daemon dies without a word; the dead mount stays, as the kernel leaves it."""
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for_end(self.pids)

    def umount(self, timeout=60):
        return program("umount", "--state-dir", self.backend.state_dir, self.path, env=self.env,
                       timeout=timeout)

    def teardown(self):
        """Gone whatever state it is in."""
        if self in live_mounts:
            live_mounts.remove(self)
        if self._connection:
            self._connection.close()
            self._connection = None
        if is_mounted(self.path):
            try:
                self.umount(timeout=45)
            except (subprocess.TimeoutExpired, OSError):
                pass
        if is_mounted(self.path):
            subprocess.run(["fusermount3", "-uz", self.path], check=False, timeout=20)
        if wait_for_end(self.pids, 20):
            self.kill9()

    def at(self, *parts):
        return os.path.join(self.path, *parts)

    def zone(self, table, *parts):
        return os.path.join(self.path, "ingest", table, *parts)

    def sql(self, statement, *parameters):
        """Runs on the server, not through the program; rows or None."""
        if self._connection is None or self._connection.closed:
            self._connection = self.backend.connect()
            self.sql(f'SET search_path = "{self.workspace}", public')
        cursor = self._connection.cursor()
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else None

    def forget_connection(self):
        """After the server was taken away."""
        self._connection = None

    def table_exists(self, table):
        return bool(self.sql("SELECT 1 FROM pg_class c JOIN pg_namespace n "
                             "ON n.oid = relnamespace WHERE nspname = %s AND relname = %s",
                             self.workspace, table))

    def ledger(self, table, path):
        """The file's entry as a dict, or None."""
        self.sql("SELECT 1")
        cursor = self._connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
        cursor.execute(f"SELECT * FROM {LEDGER} WHERE table_name = %s AND path = %s",
                       (table, path))
        found = cursor.fetchall()
        assert len(found) <= 1, f"{path} stands {len(found)} times in the ledger"
        return dict(found[0]) if found else None

    def ledger_paths(self, table):
        """Paths of the files (not folders) of a drop zone."""
        return sorted(row[0] for row in self.sql(
            f"SELECT path FROM {LEDGER} WHERE table_name = %s AND kind <> 'folder'", table))

    def chunks(self, table, path):
        """(chunk_index, text) of the rows of one text file, in order of chunk_index."""
        entry = self.ledger(table, path)
        if entry is None:
            return None
        return [tuple(row) for row in self.sql(
            f'SELECT chunk_index, text FROM "{table}" WHERE file_id = %s ORDER BY chunk_index',
            entry["file_id"])]

    def data(self, table, path):
        """(data, filename) of the rows of one file of kind other."""
        entry = self.ledger(table, path)
        if entry is None:
            return None
        return [(bytes(row[0]), row[1]) for row in self.sql(
            f'SELECT data, filename FROM "{table}" WHERE file_id = %s', entry["file_id"])]

    def n_rows(self, table):
        return self.sql(f'SELECT count(*) FROM "{table}"')[0][0]

    def n_orphans(self, table):
        """Rows that belong to no file of the ledger: there must never be one."""
        return self.sql(f'SELECT count(*) FROM "{table}" t WHERE NOT EXISTS '
                        f"(SELECT FROM {LEDGER} l WHERE l.table_name = %s "
                        "AND l.file_id::text = t.file_id::text)",
                        table)[0][0]
