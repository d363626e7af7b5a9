# SPDX-License-Identifier: Apache-2.0
"""One database of a test: SQL in, SQL out."""

import io

import numpy
import psycopg2


class Database:
    """sql() and its relatives share one connection, which is opened when first needed."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self._connections = []
        self._main = None

    def connect(self, preload=True, **settings):
        """A further connection. preload=False: the extension's library is not loaded when a
        session begins, but by the first function that is in it."""
        if not preload:
            settings["session_preload_libraries"] = ""
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        made = psycopg2.connect(self.server.dsn(self.name), connect_timeout=10, options=options)
        made.autocommit = True
        self._connections.append(made)
        return made

    @property
    def connection(self):
        if self._main is None or self._main.closed:
            self._main = self.connect()
        return self._main

    def sql(self, statement, parameters=None, connection=None):
        """The rows as tuples; None where a statement has none."""
        with (connection or self.connection).cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else None

    def value(self, statement, parameters=None, connection=None):
        """The first column of the only row."""
        rows = self.sql(statement, parameters, connection)
        assert len(rows) == 1, rows
        return rows[0][0]

    def column(self, statement, parameters=None, connection=None):
        return [row[0] for row in self.sql(statement, parameters, connection)]

    def error(self, statement, parameters=None, connection=None):
        """The psycopg2 error that the statement must end with; .pgcode is its SQLSTATE, .diag
        has message_primary, message_hint, message_detail."""
        try:
            rows = self.sql(statement, parameters, connection)
        except psycopg2.Error as error:
            return error
        raise AssertionError(f"no error but {rows!r}: {statement}")

    def explain_json(self, statement, parameters=None, connection=None, analyze=False):
        """The top node of the plan."""
        options = "FORMAT JSON, ANALYZE, TIMING OFF" if analyze else "FORMAT JSON"
        return self.value(f"EXPLAIN ({options}) {statement}", parameters,
                          connection)[0]["Plan"]

    def copy_in(self, statement, data, connection=None):
        """COPY … FROM STDIN with text or bytes."""
        stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
        with (connection or self.connection).cursor() as cursor:
            cursor.copy_expert(statement, stream)

    def copy_vectors(self, columns, numbers, vectors, connection=None):
        """Many rows (int4, float4[]) at once: columns is "table (id, e)", vectors has two
        dimensions."""
        self.copy_in(f"COPY {columns} FROM STDIN (FORMAT binary)",
                     binary_rows(numbers, vectors), connection)

    def close(self):
        for connection in self._connections:
            connection.close()
        self._connections.clear()


def binary_rows(numbers, vectors):
    """(int4, float4[]) in the format of COPY BINARY."""
    n_rows, n_elements = vectors.shape
    rows = numpy.zeros(n_rows, dtype=[
        ("n_columns", ">i2"), ("number_size", ">i4"), ("number", ">i4"), ("array_size", ">i4"),
        ("n_dimensions", ">i4"), ("has_null", ">i4"), ("type", ">i4"), ("length", ">i4"),
        ("lower_bound", ">i4"),
        ("elements", [("size", ">i4"), ("value", ">f4")], (n_elements,))])
    rows["n_columns"] = 2
    rows["number_size"] = 4
    rows["number"] = numbers
    rows["array_size"] = 20 + 8 * n_elements
    rows["n_dimensions"] = 1
    rows["type"] = 700
    rows["length"] = n_elements
    rows["lower_bound"] = 1
    rows["elements"]["size"] = 4
    rows["elements"]["value"] = vectors
    return b"PGCOPY\n\xff\r\n\x00" + bytes(8) + rows.tobytes() + b"\xff\xff"


def nodes(plan):
    """Every node of a plan, the top one first."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def node_types(plan):
    return [node["Node Type"] for node in nodes(plan)]


def literal(vector):
    """A float4[] as SQL takes it, between quotes of the caller's."""
    return "{" + ",".join(repr(float(element)) for element in vector) + "}"
