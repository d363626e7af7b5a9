# SPDX-License-Identifier: Apache-2.0
"""libpq through ctypes: statements of the extended protocol, whose parameters and values are text.

psycopg2 puts parameters into the statement's text; here $1 is a parameter of the protocol, and a
text of several statements is the error that PostgreSQL makes of it.
"""

import ctypes
import ctypes.util
import select
import time

CONNECTION_OK = 0
COMMAND_OK, TUPLES_OK, COPY_OUT, COPY_IN, BAD_RESPONSE = 1, 2, 3, 4, 5
EMPTY_QUERY, FATAL_ERROR, COPY_BOTH = 0, 7, 8
IDLE = 0  # PQTRANS_IDLE

_NAME = ctypes.util.find_library("pq") or "libpq.so.5"
_waiting = ctypes.CDLL(_NAME)   # lets other threads run meanwhile
_quick = ctypes.PyDLL(_NAME)    # for what never waits: giving up the lock costs more than the call


def _declare(library, name, result, *arguments):
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


_pointer, _text, _int = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_texts = ctypes.POINTER(_text)

_connect = _declare(_waiting, "PQconnectdb", _pointer, _text)
_finish = _declare(_waiting, "PQfinish", None, _pointer)
_send = _declare(_waiting, "PQsendQueryParams", _int, _pointer, _text, _int, _pointer, _texts,
                 _pointer, _pointer, _int)
_prepare = _declare(_waiting, "PQsendPrepare", _int, _pointer, _text, _text, _int, _pointer)
_send_prepared = _declare(_waiting, "PQsendQueryPrepared", _int, _pointer, _text, _int, _texts,
                          _pointer, _pointer, _int)
_get_result = _declare(_waiting, "PQgetResult", _pointer, _pointer)
_get_cancel = _declare(_waiting, "PQgetCancel", _pointer, _pointer)
_cancel = _declare(_waiting, "PQcancel", _int, _pointer, ctypes.c_char_p, _int)
_free_cancel = _declare(_waiting, "PQfreeCancel", None, _pointer)
_status = _declare(_quick, "PQstatus", _int, _pointer)
_socket = _declare(_quick, "PQsocket", _int, _pointer)
_error = _declare(_quick, "PQerrorMessage", _text, _pointer)
_consume = _declare(_quick, "PQconsumeInput", _int, _pointer)
_is_busy = _declare(_quick, "PQisBusy", _int, _pointer)
_get_ready_result = _declare(_quick, "PQgetResult", _pointer, _pointer)
_transaction = _declare(_quick, "PQtransactionStatus", _int, _pointer)
_clear = _declare(_quick, "PQclear", None, _pointer)
_result_status = _declare(_quick, "PQresultStatus", _int, _pointer)
_error_field = _declare(_quick, "PQresultErrorField", _text, _pointer, _int)
_result_error = _declare(_quick, "PQresultErrorMessage", _text, _pointer)
_command = _declare(_quick, "PQcmdStatus", _text, _pointer)
_n_affected = _declare(_quick, "PQcmdTuples", _text, _pointer)
_n_rows = _declare(_quick, "PQntuples", _int, _pointer)
_n_columns = _declare(_quick, "PQnfields", _int, _pointer)
_column = _declare(_quick, "PQfname", _text, _pointer, _int)
_type = _declare(_quick, "PQftype", ctypes.c_uint, _pointer, _int)
_value = _declare(_quick, "PQgetvalue", _text, _pointer, _int, _int)
_is_null = _declare(_quick, "PQgetisnull", _int, _pointer, _int, _int)


class ConnectionLost(Exception):
    """The server is away, or ended the connection without saying why."""


class ServerAway(ConnectionLost):
    """No connection could be made."""


class HungUp(Exception):
    """Whoever asked is no longer there; the statement was cancelled."""


class StatementError(Exception):
    """What PostgreSQL said."""

    def __init__(self, severity, sqlstate, message):
        super().__init__(f"{severity}: {message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate


class Result:
    """What a statement answered; frees itself."""

    def __init__(self, pointer):
        self._pointer = pointer
        self.command = (_command(pointer) or b"").decode()
        self.has_rows = _result_status(pointer) == TUPLES_OK
        self.n_rows = _n_rows(pointer)
        self.n_affected = int(_n_affected(pointer) or 0)

    def __del__(self):
        _clear(self._pointer)

    def columns(self):
        """(name, type's OID) of each."""
        return [(_column(self._pointer, index), _type(self._pointer, index))
                for index in range(_n_columns(self._pointer))]

    def value(self, row, column):
        """Its text as bytes, None for NULL."""
        found = _value(self._pointer, row, column)
        if not found and _is_null(self._pointer, row, column):
            return None
        return found

    def rows(self):
        n_columns = range(_n_columns(self._pointer))
        return [[self.value(row, column) for column in n_columns] for row in range(self.n_rows)]


class Session:
    """One connection. One thread at a time."""

    def __init__(self, conninfo):
        self._pointer = _connect(conninfo.encode())
        self.search_path = None
        self.was_cancelled = False
        if _status(self._pointer) != CONNECTION_OK:
            why = _error(self._pointer).decode("utf-8", "replace").strip()
            self.close()
            raise ServerAway(why)
        self._socket = _socket(self._pointer)

    def close(self):
        pointer, self._pointer = self._pointer, None
        if pointer:
            _finish(pointer)

    @property
    def is_usable(self):
        """May serve another statement: idle, outside a transaction, no cancel on its way."""
        return (self._pointer and not self.was_cancelled
                and _status(self._pointer) == CONNECTION_OK
                and _transaction(self._pointer) == IDLE)

    def run(self, statement, values=(), client=None, deadline=None):
        """A Result. values are bytes or None. client is a file descriptor: when its other end
        hangs up, the statement is cancelled, and HungUp comes; after deadline (of
        time.monotonic) it is cancelled, and PostgreSQL's own error comes."""
        if not _send(self._pointer, statement, len(values), None, _array(values), None, None, 0):
            raise ConnectionLost(_error(self._pointer).decode("utf-8", "replace"))
        return self._finish(client, deadline)

    def prepare(self, statement, client=None):
        """As run, for run_prepared; what was prepared before is forgotten."""
        if not _prepare(self._pointer, b"", statement, 0, None):
            raise ConnectionLost(_error(self._pointer).decode("utf-8", "replace"))
        return self._finish(client, None)

    def run_prepared(self, values, client=None):
        if not _send_prepared(self._pointer, b"", len(values), _array(values), None, None, 0):
            raise ConnectionLost(_error(self._pointer).decode("utf-8", "replace"))
        return self._finish(client, None)

    def _finish(self, client, deadline):
        has_hung_up = self._wait(client, deadline)
        found, failure = None, None
        while True:
            get = _get_result if _is_busy(self._pointer) else _get_ready_result
            pointer = get(self._pointer)
            if not pointer:
                break
            # A deferred constraint fails after the statement has answered: the last word counts.
            status = _result_status(pointer)
            if status in (COMMAND_OK, TUPLES_OK, EMPTY_QUERY):
                found = Result(pointer)
                continue
            failure = failure or self._failure(pointer, status)
            _clear(pointer)
            if status in (COPY_IN, COPY_OUT, COPY_BOTH):
                self.was_cancelled = True
                break
        if has_hung_up:
            raise HungUp
        if failure:
            raise failure
        return found

    def _failure(self, pointer, status):
        if status in (COPY_IN, COPY_OUT, COPY_BOTH):
            return StatementError("ERROR", "0A000", "COPY FROM STDIN and TO STDOUT have no "
                                  "place in a request")
        sqlstate = _error_field(pointer, ord("C"))
        if not sqlstate:
            return ConnectionLost(_result_error(pointer).decode("utf-8", "replace"))
        return StatementError(*(_error_field(pointer, ord(field)).decode("utf-8", "replace")
                                for field in "SCM"))

    def _wait(self, client, deadline):
        """Until there is an answer; True when the client has hung up meanwhile."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if client is not None:
            poll.register(client, select.POLLRDHUP)
        has_hung_up = False
        while _is_busy(self._pointer):
            limit = None if deadline is None else max(0, (deadline - time.monotonic()) * 1000)
            ready = poll.poll(limit)
            if not ready:
                deadline = None
                self.cancel()
            for descriptor, _ in ready:
                if descriptor == client:
                    poll.unregister(client)
                    has_hung_up = True
                    self.cancel()
                elif not _consume(self._pointer):
                    return has_hung_up  # PQgetResult says why
        return has_hung_up

    def cancel(self):
        self.was_cancelled = True
        handle = _get_cancel(self._pointer)
        message = ctypes.create_string_buffer(256)
        _cancel(handle, message, len(message))
        _free_cancel(handle)


def _array(values):
    return (_text * len(values))(*values) if values else None
