# SPDX-License-Identifier: Apache-2.0
"""A drop zone as fs/SEMANTICS.md has it, in memory: what each call gives, and what is left.

A step is a tuple: a word and its arguments, all of them plain values, so that a sequence can be
printed and run again. Model.apply(step) predicts, Mount's side is support/steps.py.
Paths begin with the drop zone: "A/d/a.txt".
"""

import errno
import os

from support import files


def is_temporary(path):
    """Ingest, When. path is below the drop zone."""
    parts = path.split("/")
    return any(part.startswith(".") for part in parts) or parts[-1].endswith((".part", ".tmp", "~"))


def kind_of(path):
    return "text" if files.is_text(path) else "other"


class File:
    """An inode. `data` is what a reader gets; `saved` what the rows have, or None."""

    def __init__(self, mode):
        self.data = b""
        self.mode = mode
        self.mtime = None       # known only while it is the one that was set
        self.is_unsaved = True  # data is not what the rows have
        self.saved = None
        self.saved_attributes = None
        self.kind = None        # what it was ingested as
        self.identity = None    # one object per file_id
        self.is_late = False    # entered after its close has returned, by the release alone

    def is_acceptable(self, path):
        """A NUL character makes a file unreadable as text."""
        return not (files.is_text(path) and b"\0" in self.data)

    def is_entered(self, path):
        """Whether the rows are of these bytes already, as the kind that this name has."""
        return self.identity is not None and self.saved == self.data and \
            self.kind == kind_of(path)

    def save(self, path):
        if not self.is_entered(path):
            self.kind = kind_of(path)
            self.identity = object()
        self.saved = self.data
        self.saved_attributes = (self.mode, self.mtime)
        self.is_unsaved = False

    def revert(self):
        self.data = self.saved
        self.mode, self.mtime = self.saved_attributes
        self.is_unsaved = False


class Folder:
    def __init__(self, mode):
        self.children = {}
        self.mode = mode


class Handle:
    def __init__(self, file, flags, is_empty_start):
        self.file = file
        self.flags = flags
        self.is_empty_start = is_empty_start
        self.is_dirty = False
        self.has_written = False


class Refused(Exception):
    def __init__(self, number):
        super().__init__(errno.errorcode[number])
        self.number = number


class Model:
    """zones: letters. Every step either happens entirely or raises Refused inside apply()."""

    def __init__(self, zones):
        self.zones = {zone: None for zone in zones}  # None: not opened
        self.has_table = dict.fromkeys(zones, False)
        self.handles = {}    # slot → Handle
        self.reasons = set() # paths that have a <path>.error
        self.touched = set() # paths whose <path>.error the last step may have changed

    def apply(self, step):
        """0 or the errno that the step must end with."""
        self.touched = set()
        try:
            getattr(self, "do_" + step[0])(*step[1:])
        except Refused as refused:
            return refused.number
        return 0

    def allows(self, step):
        """Steps on which the contract is silent, or whose outcome is a matter of time."""
        word = step[0]
        if word == "open":
            return step[1] not in self.handles and not self._has_handle(step[2])
        if word in ("pwrite", "append_to", "resize", "sync", "read_back", "close"):
            return step[1] in self.handles
        if word in ("write", "patch", "append", "truncate", "create"):
            return not self._has_handle(step[1])
        if word == "rename":
            return self._allows_rename(step[1], step[2])
        return True

    def _has_handle(self, path):
        found = self.find(path)
        return any(handle.file is found for handle in self.handles.values())

    def _allows_rename(self, old, new):
        """A folder that gets its final name with files in it that are refused."""
        found = self.find(old)
        if not isinstance(found, Folder):
            return True
        return all(file.is_acceptable(path) for path, file in self.files(new, found))

    # --- looking ---

    def find(self, path):
        """The file or folder, or None."""
        try:
            return self._resolve(path)
        except Refused:
            return None

    def _resolve(self, path):
        zone, *parts = path.split("/")
        found = self.zones[zone]
        if found is None:
            raise Refused(errno.ENOENT)
        for part in parts:
            if not isinstance(found, Folder):
                raise Refused(errno.ENOTDIR)
            found = found.children.get(part)
            if found is None:
                raise Refused(errno.ENOENT)
        return found

    def _parent(self, path):
        parent = self._resolve(os.path.dirname(path))
        if not isinstance(parent, Folder):
            raise Refused(errno.ENOTDIR)
        return parent, os.path.basename(path)

    def late_files(self, path):
        """What is at path, or below it, of which the server may know nothing yet."""
        found = self.find(path)
        files = [found] if isinstance(found, File) else []
        if isinstance(found, Folder):
            files = [file for _, file in self.files(path, found)]
        return [file for file in files if file.is_late]

    def path_of(self, file):
        for zone, top in self.zones.items():
            if top:
                for path, found in self.files(zone, top):
                    if found is file:
                        return path
        return None

    def files(self, path, folder):
        """(path, File) of everything below."""
        for name, child in folder.children.items():
            if isinstance(child, Folder):
                yield from self.files(f"{path}/{name}", child)
            else:
                yield f"{path}/{name}", child

    def folders(self, path, folder):
        """(path, Folder) of it and of all folders below."""
        yield path, folder
        for name, child in folder.children.items():
            if isinstance(child, Folder):
                yield from self.folders(f"{path}/{name}", child)

    # --- rows ---

    def _ingest(self, file, path):
        below = path.partition("/")[2]
        self.touched.add(path)
        if not file.is_acceptable(below):
            self.reasons.add(path)
            raise Refused(errno.EINVAL)
        file.save(below)
        self.reasons.discard(path)

    def _commit(self, handle, path):
        """At the close: who is refused is what it was before."""
        file = handle.file
        file.is_late = not handle.is_dirty
        try:
            self._ingest(file, path)
        except Refused:
            if file.saved is None:
                parent, name = self._parent(path)
                del parent.children[name]
            else:
                file.revert()
            raise

    # --- folders ---

    def do_mkdir(self, path):
        if "/" not in path:
            if self.zones[path]:
                raise Refused(errno.EEXIST)
            self.zones[path] = Folder(0o755)
            return
        parent, name = self._parent(path)
        if name in parent.children:
            raise Refused(errno.EEXIST)
        parent.children[name] = Folder(0o755)

    def do_rmdir(self, path):
        found = self._resolve(path)
        if not isinstance(found, Folder):
            raise Refused(errno.ENOTDIR)
        if found.children:
            raise Refused(errno.ENOTEMPTY)
        if "/" not in path:
            # A table is a drop zone whether anyone opened it or not.
            self.zones[path] = Folder(0o755) if self.has_table[path] else None
            return
        parent, name = self._parent(path)
        del parent.children[name]

    # --- names ---

    def do_unlink(self, path):
        parent, name = self._parent(path)
        found = self._resolve(path)
        if isinstance(found, Folder):
            raise Refused(errno.EISDIR)
        del parent.children[name]
        self.reasons.discard(path)
        self.touched.add(path)

    def do_rename(self, old, new):
        old_parent, old_name = self._parent(old)
        new_parent, new_name = self._parent(new)
        found = old_parent.children.get(old_name)
        target = new_parent.children.get(new_name)
        if found is None:
            raise Refused(errno.ENOENT)
        self._check_rename(old, new, found, target)
        if found is target:
            return
        below = new.partition("/")[2]
        if isinstance(found, File) and found.is_unsaved and not is_temporary(below):
            self._ingest(found, new)
            self._calm(found)
        del old_parent.children[old_name]
        new_parent.children[new_name] = found
        if not is_temporary(below) or not isinstance(found, File) or not found.is_unsaved:
            self.reasons.discard(new)
            self.touched.add(new)
        if isinstance(found, Folder):
            for path, file in self.files(new, found):
                old_path = old + path[len(new):]
                if file.is_unsaved and is_temporary(old_path.partition("/")[2]) \
                        and not is_temporary(path.partition("/")[2]):
                    self._ingest(file, path)
                    self._calm(file)

    def _calm(self, file):
        """Its bytes are rows now: who has it open has nothing new before the next write."""
        for handle in self.handles.values():
            if handle.file is file:
                handle.is_dirty = handle.is_empty_start = False

    def _check_rename(self, old, new, found, target):
        if new.startswith(old + "/"):
            raise Refused(errno.EINVAL)
        if old.startswith(new + "/"):
            raise Refused(errno.ENOTEMPTY)
        if target is not None and isinstance(found, Folder) != isinstance(target, Folder):
            raise Refused(errno.ENOTDIR if isinstance(found, Folder) else errno.EISDIR)
        if old.split("/")[0] != new.split("/")[0]:
            raise Refused(errno.EXDEV)
        if isinstance(target, Folder) and target is not found and target.children:
            raise Refused(errno.ENOTEMPTY)

    def do_chmod(self, path, mode):
        found = self._resolve(path)
        found.mode = mode
        self._note_attributes(found)

    def do_utimens(self, path, mtime):
        found = self._resolve(path)
        if isinstance(found, File):
            found.mtime = mtime
            self._note_attributes(found)

    def _note_attributes(self, found):
        if isinstance(found, File) and not found.is_unsaved:
            found.saved_attributes = (found.mode, found.mtime)

    # --- open files ---

    def do_open(self, slot, path, flags):
        self.handles[slot] = self._open(path, flags)

    def _open(self, path, flags):
        parent, name = self._parent(path)
        found = parent.children.get(name)
        if isinstance(found, Folder):
            raise Refused(errno.EEXIST if flags & os.O_EXCL else errno.EISDIR)
        if found and flags & os.O_EXCL:
            raise Refused(errno.EEXIST)
        if not found and not flags & os.O_CREAT:
            raise Refused(errno.ENOENT)
        if not found:
            found = parent.children[name] = File(0o644)
            return Handle(found, flags, True)
        if flags & os.O_TRUNC:
            found.data = b""
            found.mtime = None
            found.is_unsaved = True
        return Handle(found, flags, bool(flags & os.O_TRUNC))

    def do_pwrite(self, slot, content, offset):
        self._write(self.handles[slot], content, offset)

    def do_append_to(self, slot, content):
        handle = self.handles[slot]
        self._write(handle, content, len(handle.file.data))

    def _write(self, handle, content, offset):
        file = handle.file
        file.data = (file.data[:offset].ljust(offset, b"\0") + content +
                     file.data[offset + len(content):])
        self._change(handle)

    def do_resize(self, slot, size):
        handle = self.handles[slot]
        handle.file.data = handle.file.data[:size].ljust(size, b"\0")
        self._change(handle)

    def _change(self, handle):
        handle.file.is_unsaved = True
        handle.file.mtime = None
        handle.is_dirty = True
        handle.has_written = True

    def _is_due(self, handle):
        """The path under which the handle's bytes become rows now; None: they do not."""
        path = self.path_of(handle.file)
        has_news = handle.is_dirty or (handle.is_empty_start and not handle.has_written)
        return path if path and has_news and not is_temporary(path.partition("/")[2]) else None

    def do_sync(self, slot):
        handle = self.handles[slot]
        path = self._is_due(handle)
        if path:
            self._ingest(handle.file, path)
            handle.is_dirty = handle.is_empty_start = False

    def do_read_back(self, slot):
        assert slot in self.handles

    def do_close(self, slot):
        handle = self.handles.pop(slot)
        path = self._is_due(handle)
        if path:
            self._commit(handle, path)

    # --- whole files ---

    def do_create(self, path):
        self._open_and_close(path, os.O_CREAT | os.O_EXCL)

    def do_write(self, path, content, n_pieces):
        self._open_and_close(path, os.O_CREAT | os.O_TRUNC, (content, 0))

    def do_append(self, path, content):
        found = self.find(path)
        offset = len(found.data) if isinstance(found, File) else 0
        self._open_and_close(path, os.O_CREAT, (content, offset))

    def do_patch(self, path, content, offset):
        self._open_and_close(path, os.O_CREAT, (content, offset))

    def _open_and_close(self, path, flags, write=None):
        handle = self._open(path, flags)
        if write and write[0]:
            self._write(handle, *write)
        due = self._is_due(handle)
        if due:
            self._commit(handle, due)

    def do_truncate(self, path, size):
        found = self._resolve(path)
        if isinstance(found, Folder):
            raise Refused(errno.EISDIR)
        if size == len(found.data):
            found.mtime = None
            self._note_attributes(found)
            return
        former = found.data
        found.data = found.data[:size].ljust(size, b"\0")
        if not found.is_unsaved:
            try:
                self._ingest(found, path)
            except Refused:
                found.data = former
                raise
        found.mtime = None
        self._note_attributes(found)
