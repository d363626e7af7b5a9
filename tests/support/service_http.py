# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as the stand-in for the service speaks it: one connection, its requests, answers."""

import json
import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

HEAD_MAX_BYTES = 64 * 1024
CHUNKED_ABOVE_BYTES = 2048  # as Go's server: what is longer comes in chunks
PIECE_BYTES = 64 * 1024
HANDSHAKE_SECONDS = 30
STATEMENT_LOG_CHARACTERS = 20000

REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request",
           401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 413: "Request Entity Too Large",
           429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout"}


class Malformed(Exception):
    """Not HTTP."""


class TooLarge(Exception):
    """A body above the limit; it was read and thrown away."""

    def __init__(self, request):
        super().__init__()
        self.request = request


@dataclass
class Request:
    """What came, and, once it was answered, with what."""

    method: str
    target: str
    headers: dict = field(repr=False)  # names in lower case; the log's are without the token
    body: bytes = field(repr=False)
    started: float = field(default_factory=time.monotonic)
    statement: str = None   # its beginning, if it is long
    n_params: int = 0       # of a batch: all rows' together
    status: int = None      # 0: no answer was sent
    error: str = None       # what the answer said in "error"
    seconds: float = None
    note: str = ""          # which switch of the stand-in acted

    @property
    def path(self):
        return self.target.partition("?")[0]


@dataclass
class Answer:
    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: dict = field(default_factory=dict)

    def data(self):
        """Head and body as they are sent, at once."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}",
                 "Server: deeplake-stand-in"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.status == 204:
            return ("\r\n".join(lines) + "\r\n\r\n").encode()
        lines.append("Content-Type: " + self.content_type)
        if len(self.body) <= CHUNKED_ABOVE_BYTES:
            lines.append(f"Content-Length: {len(self.body)}")
            return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body
        lines.append("Transfer-Encoding: chunked")
        parts = [("\r\n".join(lines) + "\r\n\r\n").encode()]
        for start in range(0, len(self.body), PIECE_BYTES):
            piece = self.body[start:start + PIECE_BYTES]
            parts += [b"%x\r\n" % len(piece), piece, b"\r\n"]
        return b"".join(parts) + b"0\r\n\r\n"


def answer_json(status, value, **headers):
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body,
                  headers={name.replace("_", "-"): text for name, text in headers.items()})


def answer_html(status, **headers):
    """As a proxy in front of the service answers, which knows nothing of JSON."""
    title = f"{status} {REASONS.get(status, 'Unknown')}"
    body = (f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
            f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n"
            "</body>\r\n</html>\r\n")
    return Answer(status, body.encode(), "text/html",
                  {name.replace("_", "-"): text for name, text in headers.items()})


class Line:
    """One connection of a client. One thread at a time, but for cut()."""

    def __init__(self, connection):
        self._socket = connection
        self._buffer = b""
        self.authorization = ""  # of the request that is looked at; the log has it not
        self.fileno = connection.fileno()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake_hands(self, context):
        self._socket.settimeout(HANDSHAKE_SECONDS)
        self._socket = context.wrap_socket(self._socket, server_side=True,
                                           do_handshake_on_connect=False)
        self._socket.do_handshake()
        self._socket.settimeout(None)

    def has_hung_up(self, seconds=0.0):
        """Whether the client goes away within so many seconds."""
        poll = select.poll()
        poll.register(self.fileno, select.POLLRDHUP)
        return bool(poll.poll(seconds * 1000))

    def cut(self, with_reset=False):
        """Ends the connection without a word of TLS; from any thread. close() is still due."""
        try:
            if with_reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                        struct.pack("ii", 1, 0))
                return  # the kernel sends it when the socket is closed
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        try:
            self._socket.close()
        except OSError:
            pass

    def _more(self):
        data = self._socket.recv(256 * 1024)
        if not data:
            raise EOFError
        return data

    def read_request(self, body_max_bytes):
        """None when the client is done."""
        try:
            head = self._read_until(b"\r\n\r\n")
        except EOFError:
            return None
        method, target, headers = _parse(head)
        request = Request(method, target, headers, b"")
        if headers.get("expect", "").lower() == "100-continue":
            if int(headers.get("content-length", 0)) > body_max_bytes:
                raise TooLarge(request)
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._read_chunks(request, body_max_bytes)
        else:
            body = self._read(int(headers.get("content-length", 0)), request, body_max_bytes)
        request.body = body
        request.started = time.monotonic()
        return request

    def _read_until(self, mark):
        while mark not in self._buffer:
            if len(self._buffer) > HEAD_MAX_BYTES:
                raise Malformed("a head without an end")
            self._buffer += self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _read(self, n_bytes, request, limit):
        if n_bytes > limit:
            self._skip(n_bytes)
            raise TooLarge(request)
        parts, n_read = [self._buffer], len(self._buffer)
        while n_read < n_bytes:
            parts.append(self._more())
            n_read += len(parts[-1])
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._buffer = data[n_bytes:]
        return data[:n_bytes]

    def _skip(self, n_bytes):
        """So that the client comes to read the answer, instead of being reset."""
        n_left = n_bytes - len(self._buffer)
        self._buffer = b""
        while n_left > 0:
            n_left -= len(self._more())

    def drain(self, seconds):
        """Until the client goes or says nothing for so long: to close with unread bytes would
        reset the connection, and the client might never see the answer."""
        self._socket.settimeout(seconds)
        try:
            while self._socket.recv(256 * 1024):
                pass
        except OSError:
            pass

    def _read_chunks(self, request, limit):
        parts, n_read = [], 0
        while True:
            size = int(self._read_until(b"\r\n").partition(b";")[0], 16)
            parts.append(self._read(size, request, limit))
            n_read += size
            if self._read_until(b"\r\n"):
                raise Malformed("a chunk without an end")
            if n_read > limit:
                raise TooLarge(request)
            if not size:
                return b"".join(parts)

    def send(self, data, before_end, bytes_per_second=None):
        """before_end() comes before the client can have seen the end, so that whatever it does
        next finds what was counted up to date."""
        n_first = 0
        if bytes_per_second:
            n_first = self._send_slowly(data, bytes_per_second)
        elif len(data) > PIECE_BYTES:
            n_first = len(data) - 1
            self._socket.sendall(memoryview(data)[:n_first])
        before_end()
        self._socket.sendall(memoryview(data)[n_first:])

    def _send_slowly(self, data, bytes_per_second):
        """All but the last byte."""
        step = max(1, bytes_per_second // 50)
        for start in range(0, len(data) - 1, step):
            self._socket.sendall(data[start:min(start + step, len(data) - 1)])
            if self.has_hung_up(step / bytes_per_second):
                raise ConnectionAbortedError
        return len(data) - 1

    def send_part(self, data):
        self._socket.sendall(data)


def _parse(head):
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed(lines[0][:200])
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed(line[:200])
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers


def tls_context(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates + "/server.pem", certificates + "/server.key")
    return context
