# SPDX-License-Identifier: Apache-2.0
"""A line between the program and PostgreSQL that can be cut, stalled and slowed.

It listens on a Unix socket of its own and passes everything on to the server's. It follows the
message boundaries of the frontend protocol, so that a test can say "cut when a COMMIT has gone
out and its answer has not come back".
"""

import os
import socket
import struct
import tempfile
import threading
import time

from support.postgres import PORT

BEFORE = "before"  # the message never reaches the server
AFTER = "after"    # the server has done it, the answer never comes back

READY_FOR_QUERY = b"Z\0\0\0\5"  # then one byte: the server is done with what it was sent


class _Line:
    """One connection of a client, and ours to the server."""

    def __init__(self, wire, client):
        self.wire = wire
        self.client = client
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(wire.server_socket)
        self.hold_answers = False
        self.pending = b""
        self.has_started = False
        for run in (self._upward, self._downward):
            threading.Thread(target=run, daemon=True).start()

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _messages(self, data):
        """Splits what the client sent into (type, whole message); a first message has no
        type."""
        self.pending += data
        while True:
            head = 1 if self.has_started else 0
            if len(self.pending) < head + 4:
                return
            length = head + struct.unpack("!I", self.pending[head:head + 4])[0]
            if len(self.pending) < length:
                return
            message, self.pending = self.pending[:length], self.pending[length:]
            kind = message[:1] if self.has_started else b""
            if not self.has_started and struct.unpack("!I", message[4:8])[0] == 196608:
                self.has_started = True
            yield kind, message

    def _upward(self):
        try:
            while data := self.client.recv(1 << 16):
                for kind, message in self._messages(data):
                    self._pass_on(kind, message)
        except OSError:
            pass
        self.wire.forget(self)

    def _pass_on(self, kind, message):
        verdict = self.wire.judge(kind, message)
        if verdict == BEFORE:
            self.wire.cut()
            raise OSError("cut")
        if verdict == AFTER:
            self.hold_answers = True
        self.wire.wait_while_stalled(len(message))
        self.server.sendall(message)

    def _downward(self):
        try:
            while data := self.server.recv(1 << 16):
                if self.hold_answers:
                    if data[-6:-1] != READY_FOR_QUERY:
                        continue
                    self.wire.cut()
                    break
                self.wire.wait_while_stalled(len(data))
                self.client.sendall(data)
        except OSError:
            pass
        self.wire.forget(self)


class Wire:
    """server: a support.postgres.Postgres. The program connects to self.socket_dir instead."""

    def __init__(self, server):
        self.server_socket = os.path.join(server.socket_dir, f".s.PGSQL.{PORT}")
        self.socket_dir = tempfile.mkdtemp(prefix="deeplakefs-wire-")
        os.chmod(self.socket_dir, 0o755)
        self._lock = threading.Lock()  # guards _lines, _trigger, is_cut, n_cuts
        self._lines = set()
        self._trigger = None
        self._flowing = threading.Event()
        self._flowing.set()
        self._bytes_per_second = 0
        self.is_cut = False
        self.n_cuts = 0
        self._path = os.path.join(self.socket_dir, f".s.PGSQL.{PORT}")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        os.chmod(self._path, 0o777)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                refused = self.is_cut
            if refused:
                client.close()
                continue
            try:
                line = _Line(self, client)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._lines.add(line)

    def judge(self, kind, message):
        with self._lock:
            verdict = self._trigger(kind, message) if self._trigger else None
            if verdict:
                self._trigger = None
            return verdict

    def wait_while_stalled(self, n_bytes):
        self._flowing.wait()
        if self._bytes_per_second:
            time.sleep(n_bytes / self._bytes_per_second)

    def forget(self, line):
        with self._lock:
            self._lines.discard(line)
        line.close()

    def n_lines(self):
        with self._lock:
            return len(self._lines)

    def cut(self, stay=False):
        """Ends every connection; with stay, new ones too until resume()."""
        with self._lock:
            lines, self._lines = self._lines, set()
            self.is_cut = self.is_cut or stay
            self.n_cuts += 1
        self._flowing.set()
        for line in lines:
            line.close()

    def cut_when(self, trigger):
        """trigger(kind, message) sees each message of the clients, and answers BEFORE, AFTER or
        None. It fires once."""
        with self._lock:
            self._trigger = trigger

    def stall(self):
        """Nothing passes, nothing is closed: as behind a firewall that forgot the
        connection."""
        self._flowing.clear()

    def slow(self, bytes_per_second):
        """0: as fast as it can."""
        self._bytes_per_second = bytes_per_second

    def resume(self):
        with self._lock:
            self.is_cut = False
        self._bytes_per_second = 0
        self._flowing.set()

    def close(self):
        self._listener.close()
        self.cut(stay=True)
        try:
            os.unlink(self._path)
            os.rmdir(self.socket_dir)
        except OSError:
            pass


def nth(count, kinds, verdict, containing=b""):
    """A trigger for the count-th message of one of these kinds that has these bytes."""
    seen = 0

    def trigger(kind, message):
        nonlocal seen
        if kind and kind in kinds and containing.lower() in message.lower():
            seen += 1
            if seen == count:
                return verdict
        return None

    return trigger
