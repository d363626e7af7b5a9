# SPDX-License-Identifier: Apache-2.0
"""What every step of scripts/bench stands on: a server, a mount, clocks, and the report.

Seconds are wall time of whole commands. The server flushes as a real one does (fsync is on), and
nobody pays for what the one before left unwritten: see settle().
"""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from support import files
from support.mount import Backend, Mount, is_mounted, wait_for
from support.postgres import Postgres, children, wait_for_end


class Peer:
    """The bare pass-through file system over a folder of its own."""

    def __init__(self, program, folder):
        self.source, self.path = os.path.join(folder, "peer"), os.path.join(folder, "peer-mnt")
        os.mkdir(self.source)
        os.mkdir(self.path)
        self.process = subprocess.Popen([program, self.source, self.path, "-f"],
                                        start_new_session=True)
        wait_for(lambda: is_mounted(self.path), 10, "the pass-through to mount")

    def close(self):
        subprocess.run(["fusermount3", "-u", self.path], check=False)
        if wait_for_end([self.process.pid], 10):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class Against:
    """ours against the sum of some peers, and the ratio that is asked for, if one is."""

    def __init__(self, *peers, asked=None):
        self.peers = peers
        self.asked = asked

    def judge(self, seconds):
        ratios = [ours / sum(values) for ours, *values in
                  zip(seconds["ours"], *(seconds[name] for name in self.peers))]
        return judged("ours / (" + " + ".join(self.peers) + ")", statistics.median(ratios),
                      self.asked, ratios=ratios)


def judged(what, ratio, asked, **more):
    """A ratio beside what is asked of it; more: shown in JSON."""
    return {"what": what, "ratio": ratio, "asked": asked,
            "is_met": None if asked is None else ratio <= asked, **more}


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.results = []
        self.notes = []
        self.has_psql = shutil.which("psql") is not None
        if not self.has_psql:
            self.notes.append("no psql: \\copy is not measured")
        self.server = Postgres(fsync=True, parent=folder, settings={
            "wal_level": "replica", "max_wal_size": "8GB", "shared_buffers": "512MB"})
        self.server.start()
        self.dsn = self.server.create_database("bench")
        self.backend = Backend("external", dsn=self.dsn, parent=folder)
        self.mount = Mount(self.backend, "bench").start()
        self.peer = None
        if os.access(options.passthrough, os.X_OK):
            self.peer = Peer(options.passthrough, folder)
        else:
            self.notes.append(f"no {options.passthrough}: meson compile -C build "
                              "bench-passthrough; the pass-through is not measured")

    def close(self):
        self.mount.teardown()
        if self.peer:
            self.peer.close()
        self.backend.destroy()
        self.server.destroy()

    @contextlib.contextmanager
    def on_server(self, server):
        """For a step without a mount, which has a server of its own."""
        usual = self.server, self.mount
        self.server, self.mount = server, None
        try:
            yield
        finally:
            self.server, self.mount = usual

    def at(self, *parts):
        """A path in the folder of this run."""
        return os.path.join(self.folder, *parts)

    def has_tools(self, step, *tools):
        """Where one is missing the step is left out, and the notes say so."""
        missing = [tool for tool in tools if not shutil.which(tool)]
        if missing:
            self.notes.append(f"no {', '.join(missing)}: {step} is not measured")
        return not missing

    # Measuring

    def settle(self):
        """Nobody pays for what the one before left unwritten."""
        with contextlib.closing(self.server.connect("postgres")) as connection:
            connection.cursor().execute("CHECKPOINT")
        os.sync()
        time.sleep(1.2)  # and the kernel's entry and attribute caches have run out

    def timed(self, *commands, expect_empty=False, cwd=None, env=None):
        """Seconds that the commands take one after the other; env: instead of ours."""
        self.settle()
        started = time.monotonic()
        for arguments in commands:
            ran = subprocess.run(arguments, check=False, cwd=cwd, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                 env=env or {**os.environ, "LC_ALL": "C.UTF-8"})
            if ran.returncode:
                raise SystemExit(f"{' '.join(arguments)[:300]} ended with {ran.returncode}:\n"
                                 + ran.stderr.decode(errors="replace")[-2000:])
            if expect_empty and ran.stdout:
                raise SystemExit(f"{arguments[0]} was to print nothing and printed:\n"
                                 + ran.stdout.decode()[:500])
        return time.monotonic() - started

    def psql_copy(self, columns, table, path, how):
        return self.timed(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", self.dsn, "-c",
                           f"\\copy bench.\"{table}\" ({columns}) FROM '{path}' WITH ({how})"])

    def forget_peak(self):
        """So that the next VmHWM is of the next step alone (proc(5), clear_refs)."""
        daemon = [self.mount.daemon_pid] if self.mount else []
        for pid in daemon + children(self.server.pid):
            try:
                with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as refs:
                    refs.write("5")
            except (FileNotFoundError, ProcessLookupError):
                pass  # a worker of the server that has just ended

    def memory(self):
        found = {"VmHWM": 0, "VmRSS": 0, "server": 0}
        if self.mount:
            own = status_of(self.mount.daemon_pid)
            found.update((name, own[name]) for name in ("VmHWM", "VmRSS"))
        for pid in children(self.server.pid):
            try:
                one = status_of(pid)
                # Shared buffers count as each backend's own; what was touched last is a bound.
                private = one["VmHWM"] - one["RssShmem"] - one["RssFile"]
            except (FileNotFoundError, ProcessLookupError, KeyError):
                continue  # it is ending
            found["server"] = max(found["server"], private)
        return found

    def pairs(self, ours, peers):
        """Runs ours and each of peers in turn, the other way round every second time; returns
        lists of seconds and the daemon's memory at and after its peak."""
        seconds = {"ours": [], **{name: [] for name in peers}}
        peak = {"VmHWM": 0, "VmRSS": 0, "server": 0}

        def run_ours(number):
            self.forget_peak()
            seconds["ours"].append(ours(number))
            for name, value in self.memory().items():
                peak[name] = max(peak[name], value)

        for number in range(self.options.pairs):
            acts = [lambda: run_ours(number)]
            acts += [lambda name=name, act=act: seconds[name].append(act(number))
                     for name, act in peers.items()]
            for act in acts if number % 2 == 0 else reversed(acts):
                act()
        return seconds, peak

    def report(self, step, what, seconds, peak, amount, against=None, also=(),
               unit="s", facts=None):
        """against: list of Against; without it ours stands against the sum of all peers. also:
        further judged() figures of the step. unit: of what is shown, s or ms. facts: what else
        is to be told, a text for each word."""
        peers = [name for name in seconds if name != "ours"]
        if against is None:
            against = [Against(*peers)]
        ratios = [one.judge(seconds) for one in against
                  if one.peers and all(name in seconds for name in one.peers)]
        result = {"step": step, "what": what, "seconds": seconds, "amount": amount,
                  "median": {name: statistics.median(values)
                             for name, values in seconds.items()},
                  "ratios": ratios + list(also), "unit": unit, "facts": facts or {},
                  "peak_bytes": peak["VmHWM"], "resident_bytes": peak["VmRSS"],
                  "server_peak_bytes": peak["server"]}
        self.results.append(result)
        if not self.options.json:
            show(result)

    # What steps share

    def definition(self, sample, name):
        """An empty table as the mount makes it for a file like sample; its text is its content
        where it is no path."""
        extension = sample.rpartition(".")[2]
        template = f"template_{extension}"
        if not self.mount.table_exists(template):
            os.mkdir(self.mount.zone(template))
            target = self.mount.zone(template, f"a.{extension}")
            files.write(target, files.read(sample) if os.path.exists(sample) else b"x")
        self.mount.sql(f'DROP TABLE IF EXISTS "{name}"')
        self.mount.sql(f'CREATE TABLE "{name}" (LIKE "{template}" INCLUDING ALL)')

    def fill(self, table, sources, count=None):
        """Seconds of cp -r of sources into a new drop zone; count: rows that they must become."""
        os.mkdir(self.mount.zone(table))
        seconds = self.timed(["cp", "-r", *sources, self.mount.zone(table)])
        found = self.mount.n_rows(table)
        if count is not None and found != count:
            raise SystemExit(f"{found} rows in {table}, {count} were expected")
        return seconds

    def copied(self, columns, table, sample, path, how):
        """Seconds of psql's \\copy into a new table as the mount makes it; then it is dropped."""
        self.definition(sample, table)
        seconds = self.psql_copy(columns, table, path, how)
        self.mount.sql(f'DROP TABLE "{table}"')
        return seconds


def status_of(pid):
    """The sizes of /proc/<pid>/status in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        found = dict(line.split(":", 1) for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, value in found.items()
            if name.startswith(("Vm", "Rss"))}


def run(arguments, cwd=None):
    """A command outside of any timing; what it printed."""
    ran = subprocess.run(arguments, check=False, cwd=cwd, capture_output=True,
                         stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise SystemExit(f"{' '.join(arguments)[:300]} ended with {ran.returncode}:\n"
                         + ran.stderr.decode(errors="replace")[-2000:])
    return ran.stdout


def show(result):
    print(f"\n{result['step']}: {result['what']}")
    amount, unit = result["amount"], result["unit"]
    factor = {"s": 1, "ms": 1000}[unit]
    for name, values in result["seconds"].items():
        median = result["median"][name]
        rate = ""
        if "files" in amount:
            rate = f"{amount['files'] / median:9.0f} files/s"
        elif "pages" in amount:
            rate = f"{amount['pages'] / median:9.1f} pages/s"
        if "bytes" in amount:
            rate += f"{amount['bytes'] / median / 1e6:9.1f} MB/s"
        print(f"  {name:<14} {median * factor:8.3f} {unit}  {rate}  "
              f"({min(values) * factor:.3f} to {max(values) * factor:.3f})")
    for one in result["ratios"]:
        spread = (f"  ({min(one['ratios']):.2f} to {max(one['ratios']):.2f})"
                  if "ratios" in one else "")
        asked = "" if one["asked"] is None else \
            f"  asked: {one['asked']:.2f}, {'met' if one['is_met'] else 'NOT met'}"
        print(f"  {'ratio':<14} {one['ratio']:8.2f}    {one['what']}{spread}{asked}")
    for name, text in result["facts"].items():
        print(f"  {name:<14} {text}")
    daemon = (f"{result['peak_bytes'] / 2**20:8.1f} MiB at most, "
              f"{result['resident_bytes'] / 2**20:.1f} MiB after; " if result["peak_bytes"]
              else " " * 9)
    print(f"  {'memory':<14} {daemon}the server's largest backend "
          f"about {result['server_peak_bytes'] / 2**20:.1f} MiB of its own")
    sys.stdout.flush()
