# SPDX-License-Identifier: Apache-2.0
"""Random steps, done on a mount and on support/model.py, and what differs between the two.

A sequence that fails is made as short as it gets, and printed as a script.
"""

import errno
import os
import random
import stat
import time

from support import files
from support.model import File, Folder, Model, is_temporary
from support.mount import ROOT

ZONES = "AB"
NAMES = ("a.txt", "b.bin", "x.part", "d", ".t")
SLOTS = (0, 1)
ROWS_SECONDS = 10  # an empty file is entered after its close has returned


class Difference(Exception):
    """The mount is not what the model says."""


def perform(at, handles, step):
    """Does one step; at(path) is the real path, handles {slot: descriptor}."""
    word, *arguments = step
    if word in ("open", "close", "pwrite", "append_to", "resize", "sync", "read_back"):
        return _perform_on_handle(at, handles, word, *arguments)
    if word == "look":
        return [(folder, names) for folder, _, names in os.walk(at("."))]
    path = at(arguments[0])
    if word == "mkdir":
        os.mkdir(path)
    elif word == "rmdir":
        os.rmdir(path)
    elif word == "unlink":
        os.unlink(path)
    elif word == "rename":
        os.rename(path, at(arguments[1]))
    elif word == "chmod":
        os.chmod(path, arguments[1])
    elif word == "utimens":
        os.utime(path, (arguments[1], arguments[1]))
    elif word == "truncate":
        os.truncate(path, arguments[1])
    elif word == "create":
        _write(path, os.O_CREAT | os.O_EXCL, [])
    elif word == "write":
        _write(path, os.O_CREAT | os.O_TRUNC, _pieces(arguments[1], arguments[2]))
    elif word == "append":
        _write(path, os.O_CREAT | os.O_APPEND, [arguments[1]] if arguments[1] else [])
    elif word == "patch":
        _write(path, os.O_CREAT, [arguments[1]] if arguments[1] else [], arguments[2])
    else:
        raise ValueError(word)
    return None


def _perform_on_handle(at, handles, word, slot, *arguments):
    if word == "open":
        handles[slot] = os.open(at(arguments[0]), arguments[1], 0o644)
    elif word == "close":
        os.close(handles.pop(slot))
    elif word == "pwrite":
        os.pwrite(handles[slot], arguments[0], arguments[1])
    elif word == "append_to":
        os.pwrite(handles[slot], arguments[0], os.fstat(handles[slot]).st_size)
    elif word == "resize":
        os.ftruncate(handles[slot], arguments[0])
    elif word == "sync":
        os.fsync(handles[slot])
    else:
        return os.pread(handles[slot], 1 << 20, 0)
    return None


def _pieces(content, n_pieces):
    size = max(1, -(-len(content) // n_pieces))
    return [content[start:start + size] for start in range(0, len(content), size)]


def _write(path, flags, pieces, offset=0):
    """All in one process: the close gives the verdict."""
    descriptor = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        for piece in pieces:
            offset += os.pwrite(descriptor, piece, offset)
    finally:
        os.close(descriptor)


# --- which steps ---


class Dice:
    """Steps that mean something more often than not: names that are there, half of the time."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def path(self, model):
        dice = self.random
        if dice.random() < 0.5:
            known = [path for zone, top in model.zones.items() if top
                     for path, _ in [*model.files(zone, top), *model.folders(zone, top)]
                     if "/" in path]
            if known:
                return dice.choice(known)
        zone = dice.choice(ZONES[0] * 5 + ZONES[1])
        folders = [path for path, _ in model.folders(zone, model.zones[zone])] \
            if model.zones[zone] else [zone]
        folder = dice.choice([path for path in folders if path.count("/") < 3])
        return f"{folder}/{dice.choice(NAMES)}"

    def content(self):
        size = self.random.choice((1, 2, 10, 300, 999, 1001, 1800, 2500))
        return files.ascii_text(size, self.random.random()).encode()

    def step(self, model):
        dice = self.random
        # Looking fills caches: what happens without them must be seen too.
        if dice.random() < 0.4:
            return ("look", dice.random() < 0.3)
        word = dice.choice(_WORDS)
        if word in ("open_zone", "close_zone"):
            return ("mkdir" if word == "open_zone" else "rmdir", dice.choice(ZONES))
        if word in ("append_to", "resize", "sync", "read_back", "close", "pwrite"):
            return self._handle_step(model, word)
        path = self.path(model)
        if word == "rename":
            return (word, path, self.path(model))
        if word == "write":
            return (word, path, self.content(), dice.choice((1, 1, 2, 5)))
        if word == "append":
            return (word, path, self.content())
        if word == "patch":
            return (word, path, self.content(), dice.choice((0, 0, 1, 5, 700, 3000)))
        if word == "truncate":
            return (word, path, dice.choice((0, 0, 1, 500, 2000)))
        if word == "chmod":
            return (word, path, dice.choice((0o600, 0o644, 0o755)))
        if word == "utimens":
            return (word, path, dice.randrange(1, 2_000_000_000))
        if word == "open":
            flags = dice.choice((0, 0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_TRUNC,
                                 os.O_CREAT | os.O_EXCL))
            return (word, dice.choice(SLOTS), path, os.O_RDWR | flags)
        return (word, path)

    def _handle_step(self, model, word):
        dice = self.random
        slot = dice.choice(SLOTS)
        if word == "append_to":
            return (word, slot, self.content())
        if word == "pwrite":
            return (word, slot, self.content(), dice.choice((0, 5, 700)))
        if word == "resize":
            return (word, slot, dice.choice((0, 3, 900)))
        return (word, slot)


_WORDS = (["write"] * 10 + ["rename"] * 14 + ["mkdir"] * 6 + ["unlink"] * 5 + ["rmdir"] * 4 +
          ["append"] * 4 + ["patch"] * 3 + ["truncate"] * 3 + ["create"] * 2 + ["chmod"] * 2 +
          ["utimens"] * 2 + ["open"] * 6 + ["append_to"] * 5 + ["pwrite"] * 2 + ["resize"] * 2 +
          ["sync"] * 2 + ["read_back"] * 2 + ["close"] * 5 + ["open_zone", "close_zone"])


# --- the comparison ---


class Pair:
    """A model, and two fresh drop zones of a mount that must stay like it."""

    count = 0

    def __init__(self, mount):
        Pair.count += 1
        self.mount = mount
        self.model = Model(ZONES)
        self.tables = {zone: f"model_{os.getpid()}_{Pair.count}_{zone.lower()}"
                       for zone in ZONES}
        self.descriptors = {}
        self.file_ids = {}  # identity → the file_id that it was first seen with

    def at(self, path):
        zone, slash, below = path.partition("/")
        return self.mount.zone(self.tables[zone]) + slash + below

    def step(self, step):
        """Does it on both sides, unless the contract says nothing about it; a step is done
        when that is True."""
        if step[0] == "look":
            self.compare(step[1])
            return True
        if not self.model.allows(step):
            return False
        for path in step[1:]:
            if isinstance(path, str):
                self._settle(path)
        for zone in ZONES:
            if step == ("rmdir", zone):
                self.model.has_table[zone] = self.mount.table_exists(self.tables[zone])
        expected_bytes = None
        if step[0] == "read_back":
            expected_bytes = self.model.handles[step[1]].file.data
        expected = self.model.apply(step)
        found = 0
        answer = None
        try:
            answer = perform(self.at, self.descriptors, step)
        except OSError as error:
            found = error.errno
        if step[0] == "close":
            self.descriptors.pop(step[1], None)
        if found != expected:
            raise Difference(f"{_errno(found)}, and {_errno(expected)} was expected")
        if answer != expected_bytes:
            raise Difference(f"the handle reads {answer[:60]!r}… of {len(answer)} bytes, and "
                             f"{expected_bytes[:60]!r}… of {len(expected_bytes)} were expected")
        return True

    def _settle(self, path):
        """An empty file is entered when its release is worked on: who changes it right after
        the close may find it entered, or still open."""
        late = self.model.late_files(path)
        if late:
            self.compare_rows()
        for file in late:
            file.is_late = False

    def compare(self, reads_all):
        """What ls, stat and cat show."""
        for path in self.model.touched:
            is_expected = path in self.model.reasons
            is_there = self._has_reason(path)
            until = time.monotonic() + ROWS_SECONDS
            while is_there and not is_expected and time.monotonic() < until:
                time.sleep(0.05)
                is_there = self._has_reason(path)
            if is_there != is_expected:
                raise Difference(f"{path}.error is {'' if is_there else 'not '}there")
        for zone, top in self.model.zones.items():
            if top is None:
                self._expect_absence(zone)
                continue
            for path, folder in self.model.folders(zone, top):
                self._compare_folder(path, folder, reads_all)

    def _has_reason(self, path):
        return os.path.lexists(self.at(path + ".error"))

    def _expect_absence(self, path):
        try:
            os.lstat(self.at(path))
        except FileNotFoundError:
            return
        raise Difference(f"{path} is there")

    def _compare_folder(self, path, folder, reads_all):
        shown = {name for name in os.listdir(self.at(path)) if not name.endswith(".error")}
        if shown != set(folder.children):
            raise Difference(f"{path} lists {sorted(shown)}, and {sorted(folder.children)} "
                             "were expected")
        for name in NAMES:
            child = folder.children.get(name)
            if child is None:
                self._expect_absence(f"{path}/{name}")
            else:
                self._compare_status(f"{path}/{name}", child)
            if reads_all and isinstance(child, File):
                self._compare_bytes(f"{path}/{name}", child)

    def _compare_status(self, path, child):
        status = os.lstat(self.at(path))
        if stat.S_ISDIR(status.st_mode) != isinstance(child, Folder):
            raise Difference(f"{path} has the mode {status.st_mode:o}")
        if stat.S_IMODE(status.st_mode) != child.mode:
            raise Difference(f"{path} has the mode {status.st_mode:o}, and {child.mode:o} was "
                             "expected")
        if isinstance(child, Folder):
            return
        if status.st_size != len(child.data):
            raise Difference(f"{path} has the size {status.st_size}, and {len(child.data)} was "
                             "expected")
        if child.mtime is not None and int(status.st_mtime) != child.mtime:
            raise Difference(f"{path} has the mtime {status.st_mtime}, and {child.mtime} was "
                             "expected")

    def _compare_bytes(self, path, child):
        found = files.read(self.at(path))
        if found != child.data:
            raise Difference(f"{path} reads {found[:60]!r}… of {len(found)} bytes, and "
                             f"{child.data[:60]!r}… of {len(child.data)} were expected")

    def compare_rows(self):
        """What is on the server, asked over a connection of our own."""
        until = time.monotonic() + ROWS_SECONDS
        while True:
            try:
                for zone in ZONES:
                    self._compare_zone(zone)
                return
            except Difference:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _compare_zone(self, zone):
        table = self.tables[zone]
        top = self.model.zones[zone]
        open_files = [handle.file for handle in self.model.handles.values()]
        certain = {}
        for path, file in self.model.files(zone, top) if top else ():
            # What is being written, or waits under a temporary name, may be either.
            if file not in open_files and not (file.is_unsaved and file.saved is not None):
                certain[path.partition("/")[2]] = file
        expected = {path for path, file in certain.items() if not file.is_unsaved}
        uncertain = {path.partition("/")[2] for path, _ in self.model.files(zone, top)} - \
            set(certain) if top else set()
        listed = set(self.mount.ledger_paths(table))
        if listed - uncertain != expected:
            raise Difference(f"the ledger of {zone} has {sorted(listed)}, and "
                             f"{sorted(expected)} were expected")
        n_rows = sum(self._compare_file(table, path, certain.get(path)) for path in listed)
        if self.mount.table_exists(table) and self.mount.n_rows(table) != n_rows:
            raise Difference(f"the table of {zone} has {self.mount.n_rows(table)} rows, and "
                             f"{n_rows} were expected")
        self._compare_folders(zone, table, top)

    def _compare_file(self, table, path, file):
        """Returns the number of its rows. file None: it must only agree with itself."""
        entry = self.mount.ledger(table, path)
        if file and entry["content_hash"] != files.sha256(file.saved):
            raise Difference(f"the ledger has other content of {path}")
        if file and entry["kind"] != file.kind:
            raise Difference(f"{path} is {entry['kind']}, and {file.kind} was expected")
        if file and self.file_ids.setdefault(file.identity, entry["file_id"]) \
                != entry["file_id"]:
            raise Difference(f"{path} has got another file_id")
        if entry["n_rows"] == 0:
            # An empty text; its table may not be there, or have no column for it.
            found, good = [], entry["kind"] == "text" and not (file and file.saved)
        elif entry["kind"] == "text":
            found = self.mount.chunks(table, path)
            good = not file or found == files.expected_rows(file.saved.decode())
        else:
            found = self.mount.data(table, path)
            good = len(found) == 1 and files.sha256(found[0][0]) == entry["content_hash"] and \
                found[0][1] == path
        if not good or entry["n_rows"] != len(found):
            raise Difference(f"the rows of {path} are {found!r:.300}")
        return len(found)

    def _compare_folders(self, zone, table, top):
        found = {row[0] for row in self.mount.sql(
            "SELECT path FROM deeplakefs_ledger WHERE table_name = %s AND kind = 'folder' "
            "AND path <> ''", table)}
        expected = {path.partition("/")[2] for path, _ in self.model.folders(zone, top)
                    if "/" in path} if top else set()
        if found != expected:
            raise Difference(f"the ledger of {zone} has the folders {sorted(found)}, and "
                             f"{sorted(expected)} were expected")

    def clear(self):
        """Both zones and their tables away, whatever state they are in."""
        for descriptor in self.descriptors.values():
            try:
                os.close(descriptor)
            except OSError:
                pass
        self.descriptors = {}
        for table in self.tables.values():
            for folder, _, names in os.walk(self.mount.zone(table), topdown=False):
                for path in [os.path.join(folder, name) for name in names] + [folder]:
                    try:
                        (os.rmdir if path == folder else os.unlink)(path)
                    except OSError as error:
                        if error.errno not in (errno.ENOENT, errno.EPERM, errno.ENOTEMPTY):
                            raise
            if self.mount.table_exists(table):
                os.rmdir(self.mount.at(table))


def _errno(number):
    return errno.errorcode[number] if number else "success"


# --- sequences ---


def run(mount, steps):
    """Runs given steps; None, or (how many were done, the difference)."""
    pair = Pair(mount)
    try:
        for n_done, step in enumerate(steps, 1):
            try:
                pair.step(step)
                if n_done == len(steps):
                    pair.compare(True)
                    pair.compare_rows()
            except (Difference, OSError) as difference:
                return n_done, difference
    finally:
        pair.clear()
    return None


def explore(mount, seed, n_steps, rows_every=16):
    """A random sequence; None, or the steps that were done and the difference."""
    dice = Dice(seed)
    pair = Pair(mount)
    done = []
    try:
        for step in [("mkdir", zone) for zone in ZONES] + [None] * n_steps:
            step = step or dice.step(pair.model)
            try:
                if pair.step(step):
                    done.append(step)
                    if len(done) % rows_every == 0:
                        pair.compare_rows()
            except (Difference, OSError) as difference:
                return [*done, step], difference
        try:
            pair.compare(True)
            pair.compare_rows()
        except (Difference, OSError) as difference:
            return done, difference
    finally:
        pair.clear()
    return None


def shrink(mount, steps, seconds):
    """The shortest sequence found in that time that still fails, and how it does."""
    until = time.monotonic() + seconds
    failure = run(mount, steps)
    if failure is None:
        return steps, None
    steps = steps[:failure[0]]
    width = max(1, len(steps) // 2)
    while time.monotonic() < until:
        start = 0
        before = len(steps)
        while start < len(steps) and time.monotonic() < until:
            candidate = steps[:start] + steps[start + width:]
            again = run(mount, candidate) if candidate else None
            if again:
                steps, failure = candidate[:again[0]], again
            else:
                start += width
        if width == 1 and len(steps) == before:
            break
        width = max(1, width // 2)
    return _with_short_contents(mount, steps, failure, until)


def _with_short_contents(mount, steps, failure, until):
    for number, step in enumerate(steps):
        shorter = tuple(one[:1] if isinstance(one, bytes) else one for one in step)
        if shorter == step or time.monotonic() > until:
            continue
        candidate = [*steps[:number], shorter, *steps[number + 1:]]
        again = run(mount, candidate)
        if again and again[0] == len(steps):
            steps, failure = candidate, again
    return steps, failure[1]


def keep(seed, text):
    """For whoever finds that the run was cut off."""
    folder = os.path.join(ROOT, "build", "pytest-logs")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"model-{seed}.txt"), "w", encoding="utf-8") as file:
        file.write(f"seed {seed}, {text}")


def script(steps):
    """A program for /usr/bin/python3 that does these steps below the folder it is given."""
    lines = ["import os, sys", "sys.path.insert(0, 'tests')  # run at the top of the sources",
             "from support.steps import perform", "handles = {}",
             "def at(path): return os.path.join(sys.argv[1], 'ingest', path)",
             "def do(*step):",
             "    try: print(step, perform(at, handles, step) or '')",
             "    except OSError as error: print(step, error)"]
    return "\n".join(lines + [f"do(*{step!r})" for step in steps])
