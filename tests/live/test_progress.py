# SPDX-License-Identifier: Apache-2.0
"""The README's and the help's promises on progress: bars on a terminal, JSON elsewhere."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
import unicodedata

import pytest

from support import files
from support.fixtures import make_backend, tear_down
from support.mount import PROGRAM, environment, program, wait_for

def slow(milliseconds):
    """A fault between one MiB and the next, whichever file it is of."""
    return ",".join(f"ingest-between-batches:{number}:sleep={milliseconds}"
                    for number in range(1, 100))


SLOW = slow(600)
# A bar comes after a second, and is to be seen on a machine that has other work too.
SLOWER = slow(1500)


@pytest.fixture(scope="module")
def backend(postgres):
    """One will do: which server it is makes no difference to bars."""
    made = make_backend("external", postgres)
    yield made
    tear_down(made)


def width(text):
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


class Screen:
    """What a terminal shows that knows line ends, cursor up and erasing, and nothing else."""

    def __init__(self, n_columns, n_lines):
        self.n_columns = n_columns
        self.n_lines = n_lines
        self.lines = [""]
        self.row = 0
        self.column = 0
        self.n_wraps = 0
        self.widest = 0

    def put(self, text):
        line = self.lines[self.row]
        self.lines[self.row] = line[:self.column] + text + line[self.column + len(text):]
        self.column += len(text)
        shown = width(self.lines[self.row])
        self.widest = max(self.widest, shown)
        self.n_wraps += shown > self.n_columns

    def feed(self, text):
        for part in re.findall(r"\x1b\[\d*[A-Z]|[\r\n]|[^\x1b\r\n]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif part.startswith("\x1b["):
                self.obey(int(part[2:-1] or 1), part[-1])
            else:
                self.put(part)

    def obey(self, number, act):
        if act == "A":
            assert number < self.n_lines, "the cursor left the screen"
            self.row -= number
            assert self.row >= 0
        else:
            assert act in "KJ", act
            self.lines[self.row] = self.lines[self.row][:self.column]
            if act == "J":
                del self.lines[self.row + 1:]

    def shown(self):
        return [line.rstrip() for line in self.lines if line.strip()]


class Terminal:
    """A program with a pseudo-terminal for its standard error and output; plain: for its
    standard error alone."""

    def __init__(self, *arguments, columns=80, lines=24, output=None, **env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = Screen(columns, lines)
        self.writes = []
        self.process = subprocess.Popen(
            [PROGRAM, *arguments], stdin=slave, stdout=output or slave, stderr=slave,
            env=environment(TERM="xterm", **env), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            self.writes.append((time.monotonic(), data))

    @property
    def text(self):
        return b"".join(data for _, data in list(self.writes)).decode("utf-8", "replace")

    def type(self, keys):
        os.write(self.master, keys)

    def end(self, timeout=60):
        """The exit status, once all is read."""
        code = self.process.wait(timeout)
        self.reader.join(10)
        os.close(self.master)
        self.screen.feed(self.text)
        return code


@pytest.fixture
def sources(work):
    """Three files that take long, and three that do not."""
    for number in range(3):
        files.write(os.path.join(work, "in", f"long {number} 日本語.txt"),
                    files.ascii_text(3_000_000 + number * 500_000, number))
        files.write(os.path.join(work, "in", f"short{number}.txt"),
                    files.ascii_text(2000, number))
    return os.path.join(work, "in")


@pytest.fixture
def table(table, mount):
    """One that is there: files that find none would wait for the one that makes it."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "first.txt"), b"makes the table")
    return table


def ingest(backend, table, *arguments, faults=SLOW, **options):
    return Terminal("ingest", *backend.options(), "--workspace", "live", table, *arguments,
                    LAKE_FAULT=faults, **backend.variables(), **options)


def test_ingest_draws_a_bar_for_all_and_one_for_each_long_file(backend, mount, table, sources,
                                                                 work):
    """Help of ingest: bars on a terminal."""
    with open(os.path.join(work, "out"), "wb") as output:
        terminal = ingest(backend, table, sources, os.path.join(work, "missing"), columns=110,
                          output=output, faults=SLOWER)
        assert terminal.end() == 1
    text = terminal.text
    for number in range(3):
        assert re.search(rf"  in/long {number} 日本語.txt +\[#* *\] +\d+%  sending  "
                         r"\d+ of \d+ rows", text), text[-3000:]
    assert "short" not in text, "a short file has no line of its own"
    assert re.search(r"[0-5] of 6 files +\[#* *\] +\d+%  .*B/s  ETA \d+:\d\d", text)
    assert terminal.screen.n_wraps == 0
    # The bars are gone, the message has stayed.
    assert terminal.screen.shown() == [
        f"deeplakefs: ingest: {work}/missing: No such file or directory"]
    assert json.loads(files.read(os.path.join(work, "out")))["table_name"] == table


@pytest.mark.alone
def test_ingest_redraws_ten_times_a_second_at_most(backend, table, sources):
    """mount/progress.h."""
    terminal = ingest(backend, table, sources)
    assert terminal.end() == 0
    drawn = [at for at, data in terminal.writes if b"files" in data]
    assert len(drawn) > 5
    assert len(drawn) <= (drawn[-1] - drawn[0]) * 10 + 2


def test_a_single_file_has_one_line(backend, table, sources):
    """Help of ingest."""
    terminal = ingest(backend, table, os.path.join(sources, "long 2 日本語.txt"))
    assert terminal.end() == 0
    assert re.search(r"long 2 日本語.txt +\[#* *\] +\d+%  sending  \d+ of \d+ rows  ETA",
                     terminal.text)
    assert " files " not in terminal.text
    assert terminal.screen.shown()[0].startswith('{"table_name"')


@pytest.mark.parametrize("columns,lines", [(24, 3), (12, 2), (5, 24), (40, 4)])
def test_bars_fit_a_small_terminal(backend, table, sources, columns, lines, work):
    """Help of ingest."""
    with open(os.path.join(work, "out"), "wb") as output:
        terminal = ingest(backend, table, sources, columns=columns, lines=lines, output=output)
        assert terminal.end() == 0
    assert "%" in terminal.text
    assert 0 < terminal.screen.widest < columns
    assert terminal.screen.shown() == []
    assert "\n" * lines not in re.sub(r"[^\n]", "", terminal.text.split("\x1b[J")[0])


def test_a_failure_is_printed_above_the_bars(backend, mount, table, sources, work):
    """Help of ingest."""
    files.write(os.path.join(sources, "a bad one.txt"), b"\0")
    with open(os.path.join(work, "out"), "wb") as output:
        terminal = ingest(backend, table, sources, output=output)
        assert terminal.end() == 1
    shown = terminal.screen.shown()
    assert len(shown) >= 1 and "a bad one.txt" in shown[0] and "NUL" in "".join(shown)
    assert not any("[#" in line or "files" in line for line in shown)
    assert mount.ledger(table, "in/short0.txt")


def test_without_a_terminal_there_are_no_bars(backend, table, sources):
    """Help of ingest."""
    ran = program("ingest", *backend.options(), "--workspace", "live", table, sources,
                  env=backend.environment(LAKE_FAULT=SLOW)).ok()
    assert ran.err == ""
    terminal = Terminal("ingest", *backend.options(), "--workspace", "live", table + "_dumb",
                        sources, **backend.variables())
    assert terminal.end() == 0
    assert "\x1b" in terminal.text or "files" not in terminal.text


def test_ctrl_c_clears_the_bars(backend, table, sources):
    """Exit status 130."""
    terminal = ingest(backend, table, sources)
    wait_for(lambda: "sending" in terminal.text, 20, "a bar")
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert not any("[#" in line or " files" in line for line in terminal.screen.shown())


# status --watch


@pytest.fixture
def slow_mount(another_mount, table):
    mount = another_mount(workspace=table, env={"LAKE_FAULT": SLOW})
    os.mkdir(mount.zone("docs"))
    return mount


@pytest.fixture
def copying(slow_mount, sources):
    """cp of files that take long, in progress."""
    copier = subprocess.Popen(["cp", "-r", sources, slow_mount.zone("docs")])
    yield copier
    copier.kill()
    copier.wait(60)


def watch_json(mount, *arguments):
    """status --watch into a pipe; its objects as they come."""
    process = subprocess.Popen([PROGRAM, "status", "--watch", "--interval", "0.2", *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment())
    lines = []

    def follow():
        for line in iter(process.stdout.readline, b""):
            lines.append(json.loads(line))

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    return process, lines


def states(lines, mount):
    return [line["state"] for line in lines
            if line["mountpoint"] == mount.path and "state" in line]


@pytest.mark.parametrize("is_named", [True, False])
def test_watch_draws_what_a_mount_ingests(slow_mount, copying, is_named):
    """Help of status: --watch."""
    where = [slow_mount.path] if is_named else ["--state-dir", slow_mount.backend.state_dir]
    terminal = Terminal("status", "--watch", "--interval", "0.2", *where, columns=110)
    wait_for(lambda: re.search(r"docs/in/long \d 日本語.txt +\[#+ *\] +\d+%  sending  "
                               r"\d+ of \d+ rows", terminal.text), 20, "a bar")
    assert slow_mount.path in terminal.text
    assert "files being ingested: 1" in terminal.text
    started = time.monotonic()
    terminal.type(b"\x03")
    assert terminal.end(10) == 130
    assert time.monotonic() - started < 2
    assert terminal.screen.shown() == []
    assert terminal.screen.n_wraps == 0


def test_watch_prints_a_line_per_change_into_a_pipe(slow_mount, sources):
    """Help of status: --watch where the output is no terminal."""
    process, lines = watch_json(slow_mount, slow_mount.path)
    wait_for(lambda: lines, 10, "a line")
    subprocess.run(["cp", os.path.join(sources, "long 0 日本語.txt"), slow_mount.zone("docs")],
                   check=True)
    wait_for(lambda: any(line.get("phase") == "done" for line in lines), 10, "the end of it")
    time.sleep(1)
    n_lines = len(lines)
    slow_mount.umount().ok()
    assert process.wait(20) == 0
    wait_for(lambda: "gone" in states(lines, slow_mount), 5, "its last line")

    assert lines[0] == {"mountpoint": slow_mount.path, "workspace": slow_mount.workspace,
                        "state": "serving"}
    about = [line for line in lines if "path" in line]
    assert {line["path"] for line in about} == {"docs/long 0 日本語.txt"}
    rows = [line["rows_written"] for line in about]
    assert rows == sorted(rows) and len(set(rows)) >= 4
    assert about[-1]["phase"] == "done" and about[-1]["rows_written"] == about[-1]["total"]
    assert all(a != b for a, b in zip(about, about[1:]))
    # While nothing happened nothing was printed.
    assert all("state" in line for line in lines[n_lines:])
    assert process.stderr.read() == b""


def test_watch_with_json_prints_json_on_a_terminal(slow_mount):
    """Help of status: --json."""
    terminal = Terminal("status", "--watch", "--json", slow_mount.path, columns=300)
    wait_for(lambda: "serving" in terminal.text, 10, "a line")
    terminal.type(b"\x03")
    assert terminal.end(10) == 130
    assert "\x1b" not in terminal.text
    assert json.loads(terminal.text.splitlines()[0])["state"] == "serving"


@pytest.mark.alone
def test_watch_is_not_held_by_a_mount_that_hangs(slow_mount):
    """Help of status: silent: no answer for 2 s."""
    process, lines = watch_json(slow_mount, slow_mount.path)
    wait_for(lambda: states(lines, slow_mount) == ["serving"], 10, "its first answer")
    os.kill(slow_mount.daemon_pid, signal.SIGSTOP)
    try:
        wait_for(lambda: states(lines, slow_mount)[-1] == "silent", 5, "silence")
    finally:
        os.kill(slow_mount.daemon_pid, signal.SIGCONT)
    wait_for(lambda: states(lines, slow_mount)[-1] == "serving", 5, "an answer")
    os.kill(slow_mount.daemon_pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        assert time.monotonic() - started < 1.5
    finally:
        os.kill(slow_mount.daemon_pid, signal.SIGCONT)


def test_watch_is_not_busy(slow_mount):
    """Help of status: --interval."""
    process, lines = watch_json(slow_mount, slow_mount.path)
    wait_for(lambda: lines, 10, "a line")

    def used():
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(2)
    assert used() - before < 0.4
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 130


def test_watch_ends_when_the_daemon_died(slow_mount):
    """Help of status."""
    process, lines = watch_json(slow_mount, slow_mount.path)
    wait_for(lambda: lines, 10, "a line")
    slow_mount.kill9()
    assert process.wait(10) == 2
    assert b"daemon has died" in process.stderr.read()


def test_watch_shows_a_mount_that_drains(slow_mount, copying):
    """Unmount: what is being closed is finished; Help of status: draining."""
    process, lines = watch_json(slow_mount, "--state-dir", slow_mount.backend.state_dir)
    wait_for(lambda: any(line.get("phase") == "sending" for line in lines), 20, "an ingest")
    os.kill(slow_mount.daemon_pid, signal.SIGTERM)
    wait_for(lambda: "gone" in states(lines, slow_mount), 40, "its end")
    assert "draining" in states(lines, slow_mount)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) in (0, 130)


@pytest.mark.parametrize("arguments,words", [
    (["--watch", "/"], ["/", "no mount"]),
    (["--watch", "/nowhere/at/all"], ["/nowhere/at/all"]),
    (["--watch", "--interval", "0"], ["--interval", "0.1"]),
    (["--watch", "--interval", "soon"], ["--interval", "soon"]),
    (["--watch", "--interval", "nan"], ["--interval", "nan"]),
    (["--interval", "2"], ["--interval", "--watch"]),
    (["/"], ["MOUNTPOINT", "--watch"]),
    (["--watch"], ["nothing is mounted"]),
])
def test_a_wrong_watch_is_refused(work, arguments, words):
    """Help of status."""
    ran = program("status", "--state-dir", os.path.join(work, "state"), *arguments)
    assert ran.code == 1 and ran.out == "" and len(ran.err.splitlines()) == 1, f"{ran!r}"
    for word in words:
        assert word in ran.err
