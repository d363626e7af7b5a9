# SPDX-License-Identifier: Apache-2.0
"""A test double of the Deeplake service's REST interface, over a real PostgreSQL.

It is no Deeplake, and knows of it what our notes on its interface say: queries, workspaces, tokens
and errors, over HTTP/1.1 with keep-alive on a port of the loopback interface that the kernel
chooses, with TLS and an authority of its own. What it adds is what tests need: a list of what was
asked, a list of what a client did against the protocol, and switches for most of what goes wrong
between a client and a service far away.

    with Service(dsn) as service:
        service.url, service.ca_file, service.token
        service.fail(503, n=2, when=statement("^INSERT"), retry_after=1)
        ...
        service.assert_clean()

Attributes that begin without an underscore may be set at any time, by any thread.
"""

import base64
import collections
import json
import os
import re
import secrets
import socket
import ssl
import threading
import time
import uuid
from urllib.parse import unquote

from support import service_tls
from support.libpq import ConnectionLost, HungUp, ServerAway, StatementError
from support.service_database import Database, looks_like_a_read
from support.service_faults import AFTER, BEFORE, MIDDLE, Fault, Faults, statement
from support.service_http import (STATEMENT_LOG_CHARACTERS, Answer, Line, Malformed, TooLarge,
                                  answer_html, answer_json, tls_context)

__all__ = ["AFTER", "BEFORE", "MIDDLE", "Service", "statement"]

BODY_MAX_BYTES = 16 * 1024 * 1024
CONCURRENCY_LIMIT = 5  # what first-party clients keep to
LOG_LENGTH = 50000
LINGER_SECONDS = 2
TOKEN_IN_URL = re.compile(r"eyJ[\w-]{10,}|token=", re.IGNORECASE)


class _Cut(Exception):
    """No answer, or not all of it."""


class Service:
    """Use as a context manager, or call close()."""

    def __init__(self, dsn, standby_dsn=None, has_tls=True, certificates=None):
        self._database = Database(dsn, standby_dsn)
        self.organization = str(uuid.uuid4())
        self.organizations = [self.organization]  # what GET /me says

        self.latency = 0.0  # seconds before each request is looked at
        self.concurrency_limit = CONCURRENCY_LIMIT
        self.body_max_bytes = BODY_MAX_BYTES
        self.is_out_of_credit = False
        self.balance_cents = 12345
        self._faults = Faults()

        self._lock = threading.Lock()  # guards what follows
        self._tokens = {}   # token → until when it is good
        self._lines = set()
        self._under_way = {}  # line → its request
        self._log = collections.deque(maxlen=LOG_LENGTH)
        self._violations = []
        self.n_throttled = 0
        self.n_connections = 0
        self.n_failed_handshakes = 0
        self.max_under_way = 0
        self._current = None
        self.replace_token()

        certificates = certificates or (has_tls and service_tls.shared_folder())
        self._tls = tls_context(certificates) if has_tls else None
        self.ca_file = os.path.join(certificates, "ca.pem") if has_tls else None
        # Keeps the port ours while the service is away: bound, and not listening.
        self._holder = socket.socket()
        self._holder.bind(("127.0.0.1", 0))
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = self._holder.getsockname()[1]
        self.url = f"{'https' if has_tls else 'http'}://127.0.0.1:{self.port}"
        self._listener = None
        self.come_back()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.go_away()
        self._holder.close()
        self._database.close()

    # Tokens

    @property
    def token(self):
        """The newest one."""
        return self._current

    def new_token(self, has_organization=True, lifetime=3600):
        """A token that is good beside all others, until lifetime seconds from now."""
        claims = {"sub": str(uuid.uuid4()), "iat": int(time.time()),
                  "exp": int(time.time() + lifetime)}
        if has_organization:
            claims["OrgID"] = self.organization
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=")
                         for part in (*parts, secrets.token_bytes(32)))
        with self._lock:
            self._tokens[token] = claims["exp"]
        return token

    def expire(self, token=None):
        """The token, or the newest one, is no longer good."""
        with self._lock:
            self._tokens[token or self._current] = 0

    def replace_token(self, **options):
        """A new token; the one before is no longer good. Options as for new_token."""
        if self._current:
            self.expire()
        self._current = self.new_token(**options)
        return self._current

    def _refusal_of(self, token):
        """What is wrong with a token, or None."""
        with self._lock:
            end = self._tokens.get(token)
        if end is None:
            return "invalid token"
        return None if time.time() < end else "token is expired"

    # Switches

    def fail(self, status, n=1, when=None, body=None, is_html=False, retry_after=None,
             after=False):
        """Answers the next n requests that match with this status; after=True: they ran before.
        body is what becomes JSON. n=None is until clear(); when is a part of a path or a
        condition, as statement("^INSERT") makes one."""
        headers = {} if retry_after is None else {"Retry_After": retry_after}
        answer = (answer_html(status, **headers) if is_html
                  else answer_json(status, body or _usual_body(status), **headers))
        self._faults.add(Fault("fail", n, when, AFTER if after else BEFORE, answer))

    def cut(self, where, n=1, when=None, with_reset=False):
        """Ends the connections of the next n requests that match: BEFORE the statement runs, in
        the MIDDLE of its answer, or AFTER it ran, with no answer."""
        self._faults.add(Fault("cut", n, when, where, with_reset=with_reset))

    def answer_empty(self, n=1, when=None):
        """The next n reads that match are answered with 200 and no rows."""
        condition = Fault("", when=when).matches
        self._faults.add(Fault("empty", n, lambda request: bool(
            request.statement and looks_like_a_read(request.statement) and condition(request))))

    def slow(self, bytes_per_second, n=1, when=None):
        """The answers of the next n requests that match come drop by drop."""
        self._faults.add(Fault("slow", n, when, bytes_per_second=bytes_per_second))

    def clear(self):
        """No more faults, latency or debts."""
        self._faults.clear()
        self.latency = 0.0
        self.is_out_of_credit = False
        self.concurrency_limit = CONCURRENCY_LIMIT

    def n_faults_left(self):
        return self._faults.n_left()

    def go_away(self):
        """Connections are cut, new ones are refused."""
        listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut_connections()

    def come_back(self):
        """On the same port."""
        if self._listener:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut_connections(self, only_idle=False):
        """Idle ones, as a proxy does that has waited long enough; or all."""
        with self._lock:
            lines = [line for line in self._lines
                     if not (only_idle and line in self._under_way)]
        for line in lines:
            line.cut()

    # What happened

    @property
    def requests(self):
        """The requests so far, oldest first, those under way too."""
        with self._lock:
            return list(self._log)

    def statements(self):
        """The texts of all statements so far."""
        return [request.statement for request in self.requests if request.statement]

    def forget_requests(self):
        with self._lock:
            self._log.clear()
            self.max_under_way = len(self._under_way)

    @property
    def n_under_way(self):
        with self._lock:
            return len(self._under_way)

    @property
    def n_on_standby(self):
        """How many reads the lagging standby answered."""
        return self._database.n_on_standby

    @property
    def violations(self):
        """What clients did that our protocol forbids."""
        with self._lock:
            return list(self._violations)

    def forget_violations(self):
        with self._lock:
            self._violations.clear()
            self.n_throttled = 0

    def assert_clean(self):
        """No client did what our protocol forbids, nor asked for more at once than is allowed
        where no test changed the limit."""
        assert not self.violations, "\n".join(self.violations[:20])
        assert not self.n_throttled, f"throttled {self.n_throttled} times"

    def _violation(self, request, what):
        with self._lock:
            self._violations.append(f"{request.method} {request.path[:200]}: {what}")

    # Connections

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if self._listener is not listener:
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        line = Line(connection)
        with self._lock:
            self._lines.add(line)
            self.n_connections += 1
        try:
            if self._tls:
                self._shake_hands(line)
            self._exchange_until_the_end(line)
        except (OSError, EOFError, _Cut, HungUp):
            pass
        except (Malformed, ValueError) as error:
            with self._lock:
                self._violations.append(f"not HTTP: {error}")
        finally:
            with self._lock:
                self._lines.discard(line)
                self._under_way.pop(line, None)
            line.close()

    def _shake_hands(self, line):
        try:
            line.shake_hands(self._tls)
        except (ssl.SSLError, OSError):
            with self._lock:
                self.n_failed_handshakes += 1
            raise

    def _exchange_until_the_end(self, line):
        while True:
            try:
                request = line.read_request(self.body_max_bytes)
            except TooLarge as error:
                with self._lock:
                    self._log.append(error.request)
                answer = answer_html(413, Connection="close")
                line.send(answer.data(), lambda: self._finished(line, error.request, 413))
                line.drain(LINGER_SECONDS)
                return
            if request is None or not self._exchange(line, request):
                return

    def _begin(self, line, request):
        """False when too many are under way. Whoever hung up no longer counts."""
        with self._lock:
            self._log.append(request)
            self._under_way[line] = request
            if len(self._under_way) > self.concurrency_limit:
                for one in list(self._under_way):
                    if one is not line and one.has_hung_up():
                        del self._under_way[one]
            self.max_under_way = max(self.max_under_way, len(self._under_way))
            if len(self._under_way) <= self.concurrency_limit:
                return True
            self.n_throttled += 1
            return False

    def _finished(self, line, request, status):
        with self._lock:
            self._under_way.pop(line, None)
        request.status = status
        request.seconds = time.monotonic() - request.started

    def _exchange(self, line, request):
        """One request and its answer; False when the connection ends with it."""
        line.authorization = request.headers.pop("authorization", "")
        try:
            if not self._begin(line, request):
                request.note = "throttled"
                answer, fault = answer_json(429, _usual_body(429), Retry_After=1), None
            else:
                answer, fault = self._answer(line, request)
            self._send(line, request, answer, fault)
        except BaseException as error:
            request.note = request.note or type(error).__name__
            self._finished(line, request, 0)
            raise
        finally:
            request.body = b""
        return request.headers.get("connection", "").lower() != "close"

    def _send(self, line, request, answer, fault):
        data = answer.data()
        if answer.status >= 400 and answer.content_type.startswith("application/json"):
            request.error = json.loads(answer.body).get("error")
        if fault and fault.act == "cut":
            if fault.where == MIDDLE:
                line.send_part(data[:len(data) - max(1, len(answer.body) // 2)])
            line.cut(fault.with_reset)
            raise _Cut
        line.send(data, lambda: self._finished(line, request, answer.status),
                  fault.bytes_per_second if fault else None)

    def _answer(self, line, request):
        """(answer, the fault that acts on it or None)"""
        if self.latency and line.has_hung_up(self.latency):
            raise HungUp
        arguments = self._read_body(request)
        refusal = self._refuse(request, line.authorization)
        fault = self._faults.take(request)
        if fault:
            request.note = fault.act
            if fault.where == BEFORE and fault.act == "cut":
                line.cut(fault.with_reset)
                raise _Cut
            if fault.where == BEFORE and fault.act == "fail":
                return fault.answer, None
        answer = (refusal or self._refuse_body(request, arguments)
                  or self._route(line, request, arguments,
                                 is_empty=bool(fault and fault.act == "empty")))
        if fault and fault.act == "fail":
            answer = fault.answer
        return answer, fault

    # The protocol

    def _read_body(self, request):
        """The body's JSON; None when it has none, or is none."""
        if not request.body:
            return None
        try:
            arguments = json.loads(request.body)
        except (ValueError, RecursionError):
            self._violation(request, "a body that is no JSON")
            return None
        if not isinstance(arguments, dict):
            self._violation(request, "a body that is no object")
            return None
        if isinstance(arguments.get("query"), str):
            request.statement = arguments["query"][:STATEMENT_LOG_CHARACTERS]
        return arguments

    def _refuse_body(self, request, arguments):
        if request.method == "POST" and arguments is None:
            return answer_json(400, {"error": "invalid request body"})
        return None

    def _refuse(self, request, authorization):
        """401, 402, 403, or None; writes down what is against the protocol."""
        if request.path == "/health":
            return None
        token = self._look_at_headers(request, authorization)
        why = self._refusal_of(token)
        if why:
            return answer_json(401, {"error": why})
        organization = request.headers.get("x-activeloop-org-id")
        if organization not in (None, self.organization):
            self._violation(request, "an organization that is not the token's")
            return answer_json(403, {"error": "not a member of this organization"})
        if self.is_out_of_credit and request.path != "/me":
            return answer_json(402, _usual_body(402))
        return None

    def _look_at_headers(self, request, authorization):
        headers = request.headers
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer" or not token:
            self._violation(request, "no token")
        if TOKEN_IN_URL.search(request.target) or (token and token in request.target):
            self._violation(request, "a token in the URL")
        if token and token.encode() in request.body:
            self._violation(request, "a token in the body")
        if "x-activeloop-org-id" not in headers and request.path != "/me":
            self._violation(request, "no X-Activeloop-Org-Id")
        if request.body and headers.get("content-type") != "application/json":
            self._violation(request, f"Content-Type: {headers.get('content-type')}")
        if headers.get("accept") != "application/json":
            self._violation(request, f"Accept: {headers.get('accept')}")
        if not headers.get("x-deeplake-client", "").startswith("deeplakefs/"):
            self._violation(request, f"X-Deeplake-Client: {headers.get('x-deeplake-client')}")
        return token

    def _route(self, line, request, arguments, is_empty):
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        call = request.method, *parts
        if call == ("GET", "health"):
            return answer_json(200, {"status": "ok"})
        if call == ("GET", "me"):
            return answer_json(200, {
                "id": "5ca1ab1e-0000-4000-8000-000000000001", "email": "tester@example.com",
                "name": "tester", "organizations": self.organizations})
        try:
            if parts[0] == "workspaces":
                return self._workspaces(line, request, call[:1] + call[2:], arguments, is_empty)
        except StatementError as error:
            return answer_json(500, {"error": f"Database error: {error}"})
        except ServerAway:
            return answer_json(503, {"error": "no connection to the database"}, Retry_After=1)
        except ConnectionLost:
            return answer_json(500, {"error": "Database error: unexpected EOF"})
        return _not_found(request)

    def _workspaces(self, line, request, call, arguments, is_empty):
        if call == ("GET",):
            return answer_json(200, {"data": [self._workspace(name)
                                              for name in self._database.workspaces()]})
        if call == ("POST",):
            return self._make_workspace(arguments)
        if len(call) == 2 and call[0] == "GET":
            is_there = self._database.has_workspace_now(call[1])
            return answer_json(200, self._workspace(call[1])) if is_there else _not_found(request)
        if call[2:] not in (("tables",), ("tables", "query"), ("tables", "query", "batch")):
            return _not_found(request)
        if not self._database.has_workspace(call[1]):
            return _not_found(request)
        if call[0] == "GET" and len(call) == 3:
            return answer_json(200, {"tables": [{"table_name": name} for name
                                                in self._database.tables(call[1])]})
        if call[0] != "POST" or len(call) == 3:
            return answer_json(405, {"error": "method not allowed"})
        if len(call) == 4:
            return self._query(line, request, call[1], arguments, is_empty)
        return self._batch(line, request, call[1], arguments)

    def _workspace(self, name):
        return {"id": name, "org_id": self.organization, "name": name, "type": "managed"}

    def _make_workspace(self, arguments):
        name = arguments.get("id")
        if not isinstance(name, str) or not name:
            return answer_json(400, {"error": "workspace ID is required"})
        if not self._database.make_workspace(name):
            return answer_json(409, {"error": f"workspace {name} already exists"})
        return answer_json(201, self._workspace(name))

    def _query(self, line, request, workspace, arguments, is_empty):
        query, timeout_ms = arguments.get("query"), arguments.get("timeout_ms")
        if not isinstance(query, str) or not query:
            return answer_json(400, {"error": "query is required"})
        if timeout_ms is not None and (type(timeout_ms) is not int or timeout_ms <= 0):
            return answer_json(400, {"error": "timeout_ms is no number of milliseconds"})
        values = self._values(request, arguments.get("params"))
        if values is None or "\0" in query:
            return answer_json(400, {"error": "invalid params"})
        body = self._database.query(workspace, query, values, line.fileno, timeout_ms, is_empty)
        balance = {"X-Activeloop-Balance-Cents": self.balance_cents}
        return Answer(204, headers=balance) if body is None else Answer(200, body,
                                                                        headers=balance)

    def _batch(self, line, request, workspace, arguments):
        query, rows = arguments.get("query"), arguments.get("params_batch")
        if not isinstance(query, str) or not query:
            return answer_json(400, {"error": "query is required"})
        if not isinstance(rows, list):
            return answer_json(400, {"error": "params_batch is required"})
        values = [self._values(request, row) for row in rows]
        if None in values:
            return answer_json(400, {"error": "invalid params"})
        count = self._database.batch(workspace, query, values, line.fileno)
        return answer_json(200, {"row_count": count})

    def _values(self, request, params):
        """Parameters as PostgreSQL takes them as text; None when they are no parameters."""
        if params is None:
            return []
        if not isinstance(params, list):
            return None
        request.n_params += len(params)
        values = []
        for value in params:
            if value is not None and not isinstance(value, str):
                self._violation(request, f"a parameter that is no string: {value!r:.80}")
                value = json.dumps(value)
            if value is not None and "\0" in value:
                raise StatementError("ERROR", "22021",
                                     'invalid byte sequence for encoding "UTF8": 0x00')
            values.append(None if value is None else value.encode("utf-8", "surrogatepass"))
        return values


def _not_found(request):
    return answer_json(404, {"error": "Not found: " + unquote(request.path)})


def _usual_body(status):
    if status == 402:
        return {"balance_cents": 0, "error": "insufficient balance, please top up"}
    return {"error": {401: "token is expired", 403: "forbidden", 429: "too many requests",
                      503: "service unavailable"}.get(status, "internal error")}
