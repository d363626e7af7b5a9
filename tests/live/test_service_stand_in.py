# SPDX-License-Identifier: Apache-2.0
"""The stand-in for the service: a test of the client that stands on a broken one proves nothing.

Asked by Python's own HTTP client, over TLS.
"""

import base64
import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from support import service_tls
from support.fixtures import new_database
from support.mount import wait_for
from support.service import AFTER, BEFORE, MIDDLE, Service, statement
from support.service_database import APPLICATION_NAME, LaggingPostgres

pytestmark = pytest.mark.needs_no_program

QUERY = "/workspaces/space/tables/query"


class Answered:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def error(self):
        return self.json["error"]

    @property
    def rows(self):
        assert self.status == 200, self.text
        return self.json["rows"]


class Client:
    """One connection, which is made anew when it was lost."""

    def __init__(self, service, timeout=20):
        self.service = service
        if service.ca_file:
            self.connection = http.client.HTTPSConnection(
                "127.0.0.1", service.port, timeout=timeout,
                context=ssl.create_default_context(cafile=service.ca_file))
        else:
            self.connection = http.client.HTTPConnection("127.0.0.1", service.port,
                                                         timeout=timeout)

    def headers(self, **changes):
        made = {"Authorization": "Bearer " + self.service.token, "Accept": "application/json",
                "X-Activeloop-Org-Id": self.service.organization,
                "Content-Type": "application/json", "X-Deeplake-Client": "deeplakefs/0"}
        made.update({name.replace("_", "-"): value for name, value in changes.items()})
        return {name: value for name, value in made.items() if value is not None}

    def call(self, method, path, body=None, **headers):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        try:
            self.connection.request(method, path, data, self.headers(**headers))
            return Answered(self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def ask(self, query, *params, **more):
        return self.call("POST", QUERY, {"query": query, "params": list(params), **more})

    def send(self, query):
        """Without waiting for the answer."""
        self.connection.request("POST", QUERY, json.dumps({"query": query}), self.headers())


@pytest.fixture(scope="module")
def database(postgres):
    return new_database(postgres)


@pytest.fixture
def service(database, postgres):
    """With a workspace named space, and an empty table t (n int) in it."""
    with Service(database) as made:
        direct = postgres.connect(database.rpartition("=")[2])
        direct.cursor().execute("CREATE SCHEMA space; CREATE TABLE space.t (n int)")
        made.direct = direct.cursor()
        yield made
        made.direct.execute("DROP SCHEMA space CASCADE")
        direct.close()
        made.assert_clean()


@pytest.fixture
def client(service):
    made = Client(service)
    yield made
    made.connection.close()


def count(service):
    service.direct.execute("SELECT count(*) FROM space.t")
    return service.direct.fetchone()[0]


def n_running(service):
    """Statements that run on behalf of the service."""
    service.direct.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                           "AND application_name = %s", (APPLICATION_NAME,))
    return service.direct.fetchone()[0]


# Paths


def test_health_needs_no_token(service, client):
    client.connection.request("GET", "/health")
    assert Answered(client.connection.getresponse()).json == {"status": "ok"}


def test_me_names_the_organization(service, client):
    found = client.call("GET", "/me", X_Activeloop_Org_Id=None, Content_Type=None).json
    assert found["organizations"] == [service.organization]
    assert {"id", "email", "name"} <= set(found)


def test_a_workspace_is_a_schema(service, client):
    assert client.call("GET", "/workspaces/space").status == 200
    missing = client.call("GET", "/workspaces/new%20one")
    assert (missing.status, missing.error) == (404, "Not found: /workspaces/new one")
    query = client.call("POST", "/workspaces/new%20one/tables/query", {"query": "SELECT 1"})
    assert query.status == 404
    assert client.call("POST", "/workspaces", {"id": "new one", "name": "n"}).status == 201
    assert client.call("POST", "/workspaces", {"id": "new one", "name": "n"}).status == 409
    assert client.call("GET", "/workspaces/new%20one").status == 200
    path = client.call("POST", "/workspaces/new%20one/tables/query",
                       {"query": "SHOW search_path"})
    assert path.rows == [['"new one", public']]
    service.direct.execute('DROP SCHEMA "new one"')
    assert client.call("GET", "/workspaces/new%20one").status == 404
    assert client.call("POST", "/workspaces", {"name": "n"}).status == 400


def test_tables_are_those_of_the_workspace(client):
    assert client.call("GET", "/workspaces/space/tables").json == {
        "tables": [{"table_name": "t"}]}


@pytest.mark.parametrize("method, path", [("GET", "/other"), ("GET", QUERY + "/more"),
                                          ("POST", "/workspaces/space/nothing")])
def test_other_paths_are_not_found(client, method, path):
    assert client.call(method, path, {"query": "SELECT 1"}).status == 404


# Values


@pytest.mark.parametrize("expression, token", [
    ("NULL::int", "null"),
    ("true", "true"),
    ("'-9223372036854775808'::int8", "-9223372036854775808"),
    ("3::int2", "3"),
    ("4294967295::oid", "4294967295"),
    ("12345678901234567890.123456789012345678900::numeric",
     "12345678901234567890.123456789012345678900"),
    ("0.1::float4", "0.1"),
    ("1e-300::float8", "1e-300"),
    ("'NaN'::numeric", '"NaN"'),
    ("'-Infinity'::float8", '"-Infinity"'),
    ("'{\"b\": 1.50, \"a\": [null, \"x\"]}'::json", '{"b": 1.50, "a": [null, "x"]}'),
    ("'{\"b\":1.50}'::jsonb", '{"b": 1.50}'),
    ("'\\x00ff10'::bytea", '"AP8Q"'),
    ("''::bytea", '""'),
    ("timestamp '2024-02-29 12:34:56.789'", '"2024-02-29T12:34:56.789"'),
    ("timestamptz '2024-02-29 12:34:56+02'", '"2024-02-29T10:34:56+00:00"'),
    ("timestamptz '0044-03-15 12:00:00+00 BC'", '"0044-03-15T12:00:00+00:00 BC"'),
    ("timestamptz 'infinity'", '"infinity"'),
    ("date '2024-02-29'", '"2024-02-29"'),
    ("''::text", '""'),
    ("E'q\"\\\\\\n\\u00e9'", '"q\\"\\\\\\n\u00e9"'),
    ("'<a&b>'", '"\\u003ca\\u0026b\\u003e"'),
    ("ARRAY[1,NULL,3]", "[1,null,3]"),
    ("'{{1,2},{3,4}}'::int[]", "[[1,2],[3,4]]"),
    ("'[0:1]={5,6}'::int[]", "[5,6]"),
    ("'{}'::text[]", "[]"),
    ("'{0.5,1e-07,NaN}'::float4[]", '[0.5,1e-07,"NaN"]'),
    ("ARRAY['a b', 'NULL', NULL, '', E'q\"\\\\{,}']",
     '["a b","NULL",null,"","q\\"\\\\{,}"]'),
    ("ARRAY['{\"a\":[1.0]}'::jsonb]", '[{"a": [1.0]}]'),
    ("ARRAY['\\x01'::bytea, NULL]", '["AQ==",null]'),
    ("ARRAY[true,false]", "[true,false]"),
    ("ARRAY[timestamptz '2024-02-29 12:00:00+00']", '["2024-02-29T12:00:00+00:00"]'),
    ("ARRAY[box '(1,2),(0,0)', box '(3,4),(1,1)']", '["(1,2),(0,0)","(3,4),(1,1)"]'),
    ("row(1, 'x y', NULL)", '"(1,\\"x y\\",)"'),
    ("interval '1 day'", '"1 day"'),
    ("'1 2'::int2vector", '"1 2"'),
])
def test_values_are_encoded_as_the_protocol_says(client, expression, token):
    found = client.ask(f"SELECT {expression} AS v")
    assert found.text == '{"columns":["v"],"rows":[[' + token + ']],"row_count":1}'


@pytest.mark.parametrize("type_and_value", [
    "timestamptz '1900-01-01 00:00:00.5'", "timestamptz '12024-01-01 00:00:00'",
    "timestamp '0001-12-31 23:59:59 BC'", "timestamptz '-infinity'"])
def test_times_are_as_to_json_writes_them(client, type_and_value):
    ours, theirs = client.ask(
        f"SELECT {type_and_value}, to_json({type_and_value})").rows[0]
    assert ours == theirs


def test_a_domain_counts_as_what_it_is_made_of(service, client):
    service.direct.execute("CREATE DOMAIN space.image AS bytea; CREATE DOMAIN space.n AS float8")
    assert client.ask("SELECT '\\x01'::image, ARRAY[1.5::n], ARRAY['\\x01'::image]").text \
        .endswith('"rows":[["AQ==",[1.5],["AQ=="]]],"row_count":1}')


def test_long_answers_come_in_chunks_and_whole(client):
    found = client.ask("SELECT n, repeat('x', 1000) FROM generate_series(1, 1000) n")
    assert found.headers["Transfer-Encoding"] == "chunked"
    assert found.rows == [[n, "x" * 1000] for n in range(1, 1001)]


# Statements


def test_parameters_are_text_of_whatever_type(client):
    found = client.ask("SELECT $1::int8, $2::float4[], $3::jsonb, $4, $5::bytea, $6::int",
                       "9007199254740993", "{0.5,2}", '{"a":1}', "é'\"", "\\x00", None)
    assert found.rows == [[9007199254740993, [0.5, 2], {"a": 1}, "é'\"", "AA==", None]]


def test_statements_without_rows(service, client):
    assert client.ask("CREATE TABLE u (n int)").status == 204
    for query, n in [("INSERT INTO t SELECT generate_series(1, 3)", 3),
                     ("UPDATE t SET n = 4 WHERE n = 3", 1), ("DELETE FROM t WHERE n < 3", 2)]:
        assert client.ask(query).json == {"columns": None, "rows": None, "row_count": n}
    assert client.ask("INSERT INTO t VALUES (5) RETURNING n").rows == [[5]]
    assert client.ask("-- nothing").status == 204
    assert count(service) == 2


@pytest.mark.parametrize("query, error", [
    ("SELECT 1; SELECT 2",
     "cannot insert multiple commands into a prepared statement (SQLSTATE 42601)"),
    ("SELECT nope", 'column "nope" does not exist (SQLSTATE 42703)'),
    ("INSERT INTO none VALUES (1)", 'relation "none" does not exist (SQLSTATE 42P01)'),
    ("SELECT $1::int", "bind message supplies 0 parameters, but prepared statement \"\" "
                       "requires 1 (SQLSTATE 08P01)"),
    ("COPY t FROM STDIN", "COPY FROM STDIN and TO STDOUT have no place in a request "
                          "(SQLSTATE 0A000)"),
    ("COPY t TO STDOUT", "COPY FROM STDIN and TO STDOUT have no place in a request "
                         "(SQLSTATE 0A000)"),
])
def test_what_postgresql_says_is_a_500(client, query, error):
    found = client.ask(query)
    assert (found.status, found.error) == (500, "Database error: ERROR: " + error)
    assert client.ask("SELECT 1").rows == [[1]]


def test_a_nul_in_a_parameter_is_refused(client):
    assert "(SQLSTATE 22021)" in client.ask("SELECT $1", "a\0b").error


def test_a_deferred_constraint_fails_the_statement(service, client):
    service.direct.execute("CREATE TABLE space.d (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    found = client.ask("INSERT INTO d VALUES (1), (1)")
    assert found.status == 500 and "(SQLSTATE 23505)" in found.error


@pytest.mark.parametrize("query, leftover", [
    ("BEGIN READ ONLY", "SELECT current_setting('transaction_read_only') = 'off'"),
    ("SET work_mem = '7MB'", "SELECT current_setting('work_mem') <> '7MB'"),
    ("CREATE TEMP TABLE left_over (n int)", "SELECT to_regclass('left_over') IS NULL"),
    ("SELECT pg_advisory_lock(77)", "SELECT pg_try_advisory_xact_lock(77)"),
])
def test_nothing_outlives_a_request(client, query, leftover):
    assert client.ask(query).status in (200, 204)
    wait_for(lambda: client.ask(leftover).rows == [[True]], 2, leftover)


def test_a_batch_is_one_transaction(service, client):
    def batch(*rows):
        return client.call("POST", QUERY + "/batch", {
            "query": "INSERT INTO t VALUES ($1)", "params_batch": [[row] for row in rows]})
    assert batch("1", "2", None).json == {"row_count": 3}
    found = batch("4", "five", "6")
    assert found.status == 500 and "(SQLSTATE 22P02)" in found.error
    assert count(service) == 3
    service.direct.execute("SELECT count(DISTINCT xmin::text) FROM space.t")
    assert service.direct.fetchone() == (1,)
    assert batch().json == {"row_count": 0}


def test_a_statement_ends_when_its_time_is_over(service, client):
    started = time.monotonic()
    found = client.ask("SELECT pg_sleep(20)", timeout_ms=200)
    assert found.status == 500 and "(SQLSTATE 57014)" in found.error
    assert 0.2 <= time.monotonic() - started < 5


def test_a_statement_is_cancelled_when_its_client_hangs_up(service, client):
    client.send("SELECT pg_sleep(60)")
    wait_for(lambda: n_running(service) == 1, 5, "a statement that runs")
    client.connection.close()
    wait_for(lambda: n_running(service) == 0 and service.n_under_way == 0, 5, "its end")
    assert service.requests[-1].status == 0


def test_a_database_that_is_away_is_a_503(own_postgres):
    with Service(own_postgres.dsn("postgres")) as service:
        client = Client(service)
        assert client.call("POST", "/workspaces", {"id": "space"}).status == 201
        assert client.ask("SELECT 1").rows == [[1]]
        own_postgres.kill9()
        assert client.ask("SELECT 1").status == 500
        found = client.ask("SELECT 1")
        assert found.status == 503 and found.headers["Retry-After"] == "1"
        own_postgres.start()
        assert client.ask("SELECT 1").rows == [[1]]


# Tokens


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_tokens_are_jwts_with_and_without_an_organization(service, client):
    assert claims_of(service.token)["OrgID"] == service.organization
    assert claims_of(service.token)["exp"] > time.time()
    assert "=" not in service.token and service.token.count(".") == 2
    token = service.new_token(has_organization=False)
    assert "OrgID" not in claims_of(token)
    assert client.call("GET", "/me", Authorization="Bearer " + token).status == 200
    assert client.ask("SELECT 1").status == 200


def test_a_token_that_is_no_longer_good_is_a_401(service, client):
    former = service.token
    service.replace_token()
    found = client.call("GET", "/me", Authorization="Bearer " + former)
    assert (found.status, found.json) == (401, {"error": "token is expired"})
    assert client.ask("SELECT 1").status == 200
    service.expire()
    assert client.ask("SELECT 1").error == "token is expired"
    assert client.call("GET", "/me", Authorization="Bearer a.b.c").error == "invalid token"
    late = service.new_token(lifetime=-1)
    assert client.call("GET", "/me", Authorization="Bearer " + late).error == "token is expired"


# What a client must not do


@pytest.mark.parametrize("path, body, headers, violation", [
    (QUERY, {"query": "SELECT 1"}, {"X_Activeloop_Org_Id": None}, "no X-Activeloop-Org-Id"),
    (QUERY, {"query": "SELECT 1"}, {"Content_Type": "text/plain"}, "Content-Type: text/plain"),
    (QUERY, {"query": "SELECT 1"}, {"Accept": None}, "Accept: None"),
    (QUERY, {"query": "SELECT 1"}, {"X_Deeplake_Client": "curl"}, "X-Deeplake-Client: curl"),
    (QUERY, {"query": "SELECT 1"}, {"X_Activeloop_Org_Id": "other"},
     "an organization that is not the token's"),
    (QUERY, {"query": "SELECT 1"}, {"Authorization": None}, "no token"),
    (QUERY + "?token=x", {"query": "SELECT 1"}, {}, "a token in the URL"),
    (QUERY, {"query": "SELECT $1", "params": [1]}, {}, "a parameter that is no string: 1"),
    (QUERY, b"{", {}, "a body that is no JSON"),
])
def test_what_is_against_the_protocol_is_written_down(service, client, path, body, headers,
                                                      violation):
    client.call("POST", path, body, **headers)
    assert service.violations == [f"POST {QUERY}: {violation}"]
    with pytest.raises(AssertionError):
        service.assert_clean()
    service.forget_violations()


def test_a_token_in_the_body_is_written_down(service, client):
    client.ask("SELECT $1", service.token)
    assert service.violations == [f"POST {QUERY}: a token in the body"]
    service.forget_violations()


@pytest.mark.parametrize("body", [{}, {"query": 5}, {"query": "SELECT 1", "params": "x"},
                                  {"query": "SELECT 1", "params": [["x"]], "timeout_ms": "1"},
                                  {"query": "SELECT 1", "timeout_ms": -1}])
def test_a_bad_body_is_a_400(client, body):
    assert client.call("POST", QUERY, body).status == 400


def test_requests_are_logged_without_the_token(service, client):
    service.forget_requests()
    client.ask("SELECT $1, $2", "a", "b")
    client.ask("SELECT nope")
    first, second = service.requests
    assert (first.method, first.path, first.status) == ("POST", QUERY, 200)
    assert (first.statement, first.n_params) == ("SELECT $1, $2", 2)
    assert first.headers["x-activeloop-org-id"] == service.organization
    assert 0 < first.seconds < 10
    assert second.status == 500 and "42703" in second.error
    assert service.statements() == ["SELECT $1, $2", "SELECT nope"]
    assert service.token not in repr(service.requests) + repr(first.headers) + repr(first.body)


# Faults


def test_the_next_requests_fail(service, client):
    service.fail(503, n=2, retry_after=7)
    for _ in range(2):
        found = client.ask("INSERT INTO t VALUES (1)")
        assert (found.status, found.headers["Retry-After"]) == (503, "7")
        assert found.error == "service unavailable"
    assert client.ask("INSERT INTO t VALUES (1)").status == 200
    assert count(service) == 1


def test_only_those_that_match_fail(service, client):
    service.fail(502, when=statement("^insert"), is_html=True)
    service.fail(418, when="/me", body={"error": "teapot"})
    assert client.ask("SELECT 1").status == 200
    found = client.ask("INSERT INTO t VALUES (1)")
    assert found.status == 502 and found.text.startswith("<html>")
    assert found.headers["Content-Type"] == "text/html"
    assert client.call("GET", "/me").error == "teapot"
    assert service.n_faults_left() == 0


def test_a_request_can_fail_after_it_ran(service, client):
    service.fail(504, is_html=True, after=True)
    assert client.ask("INSERT INTO t VALUES (1)").status == 504
    assert count(service) == 1


def test_faults_without_an_end_are_there_until_they_are_cleared(service, client):
    service.fail(500, n=None)
    assert [client.ask("SELECT 1").status for _ in range(3)] == [500] * 3
    service.clear()
    assert client.ask("SELECT 1").status == 200


@pytest.mark.parametrize("with_reset", [False, True])
@pytest.mark.parametrize("where, n_rows", [(BEFORE, 0), (MIDDLE, 1), (AFTER, 1)])
def test_the_line_is_cut(service, client, where, n_rows, with_reset):
    service.cut(where, with_reset=with_reset)
    with pytest.raises((OSError, http.client.HTTPException)):
        client.ask("INSERT INTO t VALUES (1)")
    assert count(service) == n_rows
    assert service.requests[-1].status == 0 and service.requests[-1].note == "cut"
    assert client.ask("SELECT 1").status == 200


def test_half_of_the_answer_is_on_the_line_when_it_is_cut_in_the_middle(database):
    with Service(database, has_tls=False) as service:
        service.cut(MIDDLE)
        raw = socket.create_connection(("127.0.0.1", service.port))
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while data := raw.recv(4096):
            received += data
        assert b"Content-Length: 15" in received
        assert received.endswith(b'\r\n\r\n{"status')  # of {"status":"ok"}


def test_reads_are_answered_without_rows(service, client):
    client.ask("INSERT INTO t VALUES (1)")
    service.answer_empty(n=1)
    assert client.ask("INSERT INTO t VALUES (2) RETURNING n").rows == [[2]]
    assert client.ask("SELECT n FROM t").json == {"columns": ["n"], "rows": [], "row_count": 0}
    assert client.ask("SELECT n FROM t").rows == [[1], [2]]


def test_latency_is_added(service, client):
    client.ask("SELECT 1")
    service.latency = 0.3
    started = time.monotonic()
    client.ask("SELECT 1")
    assert time.monotonic() - started >= 0.3


def test_answers_come_slowly(service, client):
    client.ask("SELECT 1")
    service.slow(2000)
    started = time.monotonic()
    assert client.ask("SELECT repeat('x', 1000)").rows == [["x" * 1000]]
    assert time.monotonic() - started >= 0.4
    started = time.monotonic()
    client.ask("SELECT repeat('x', 1000)")
    assert time.monotonic() - started < 0.4


def ask_at_once(service, n, query="SELECT pg_sleep(0.5)"):
    """The statuses of the answers to so many at once."""
    clients = [Client(service) for _ in range(n)]
    found = []
    threads = [threading.Thread(target=lambda one=one: found.append(one.ask(query)))
               for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in clients:
        one.connection.close()
    return found


def test_more_than_five_at_once_are_throttled(service):
    service.forget_requests()
    found = ask_at_once(service, 7, "SELECT pg_sleep(2)")
    assert sorted(one.status for one in found) == [200] * 5 + [429] * 2
    assert {one.headers["Retry-After"] for one in found if one.status == 429} == {"1"}
    assert service.n_throttled == 2 and service.max_under_way >= 6
    with pytest.raises(AssertionError):
        service.assert_clean()
    service.forget_violations()


def test_five_at_once_are_never_throttled_whatever_they_break_off(service):
    def work():
        client = Client(service)
        for number in range(20):
            if number % 4:
                client.ask("SELECT 1")
            else:
                client.send("SELECT pg_sleep(9)")
                client.connection.close()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.n_throttled == 0
    assert len(service.requests) == 100


def test_an_empty_purse_is_a_402(service, client):
    service.is_out_of_credit = True
    found = client.ask("SELECT 1")
    assert (found.status, found.json) == (
        402, {"balance_cents": 0, "error": "insufficient balance, please top up"})
    service.clear()
    assert client.ask("SELECT 1").headers["X-Activeloop-Balance-Cents"] == "12345"


def test_a_body_above_16_mib_is_a_413(service, client):
    def body(n_bytes):
        made = b'{"query":"SELECT length($1)","params":["%b"]}'
        return made % (b"x" * (n_bytes - len(made) + 2))

    limit = 16 * 1024 * 1024
    assert client.call("POST", QUERY, body(limit)).status == 200
    assert client.call("POST", QUERY, body(limit + 1)).status == 413
    assert client.call("POST", QUERY, body(limit + 1), Expect="100-continue").status == 413


def test_a_body_may_come_in_chunks_after_a_100(service, client):
    body = json.dumps({"query": "SELECT 7"}).encode()
    with ssl.create_default_context(cafile=service.ca_file).wrap_socket(
            socket.create_connection(("127.0.0.1", service.port)),
            server_hostname="localhost") as line:
        headers = client.headers(Expect="100-continue", Transfer_Encoding="chunked")
        line.sendall((f"POST {QUERY} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
        assert line.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in (body[:5], body[5:], b""):
            line.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert line.recv(10000).endswith(b'"rows":[[7]],"row_count":1}')


def test_the_service_goes_away_and_comes_back_on_its_port(service, client):
    client.ask("SELECT 1")
    port = service.port
    service.go_away()
    with pytest.raises((OSError, http.client.HTTPException)):
        client.ask("SELECT 1")
    with pytest.raises(ConnectionRefusedError):
        client.ask("SELECT 1")
    service.come_back()
    assert client.ask("SELECT 1").status == 200 and service.port == port


def test_idle_connections_are_cut_and_busy_ones_not(service, client):
    client.ask("SELECT 1")
    busy = Client(service)
    busy.send("SELECT pg_sleep(0.5), 5")
    wait_for(lambda: service.n_under_way == 1, 5, "the request")
    service.cut_connections(only_idle=True)
    with pytest.raises((OSError, http.client.HTTPException)):
        client.ask("SELECT 1")
    assert Answered(busy.connection.getresponse()).rows == [["", 5]]
    busy.connection.close()


# Lag


@pytest.fixture(scope="module")
def lagging(programs):
    with LaggingPostgres(1.5, programs) as made:
        dsn, standby_dsn = made.new_database("lagging")
        with Service(dsn, standby_dsn) as service:
            service.assert_clean()
            assert Client(service).call("POST", "/workspaces", {"id": "space"}).status == 201
            yield service
            service.assert_clean()


def test_reads_lag_behind_writes(lagging):
    client = Client(lagging)
    assert client.ask("CREATE TABLE t (n int)").status == 204
    assert client.ask("INSERT INTO t VALUES (1)").json["row_count"] == 1
    early = client.ask("SELECT n FROM t")
    assert early.status == 500 and "(SQLSTATE 42P01)" in early.error
    # Writes see what is not on the standby yet, also those that begin as reads do.
    assert client.ask("WITH new AS (INSERT INTO t VALUES (2) RETURNING n) "
                      "SELECT n FROM new").rows == [[2]]
    assert client.ask("SELECT n FROM t ORDER BY n FOR UPDATE").rows == [[1], [2]]
    wait_for(lambda: client.ask("SELECT n FROM t").status == 200
             and client.ask("SELECT n FROM t ORDER BY n").rows == [[1], [2]], 10, "the rows")
    assert lagging.n_on_standby > 0
    client.ask("DELETE FROM t WHERE n = 1")
    assert client.ask("SELECT n FROM t ORDER BY n").rows == [[1], [2]]
    wait_for(lambda: client.ask("SELECT n FROM t").rows == [[2]], 10, "the end of a row")


# TLS


def test_a_client_that_trusts_another_authority_does_not_talk_to_it(service, tmp_path):
    service_tls.make(str(tmp_path / "other"))
    context = ssl.create_default_context(cafile=str(tmp_path / "other" / "ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=context)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/health")
    wait_for(lambda: service.n_failed_handshakes == 1, 5, "its alarm")


def test_a_certificate_can_be_for_another_name(database, tmp_path):
    service_tls.make(str(tmp_path / "other"), names=["DNS:elsewhere.example"])
    with Service(database, certificates=str(tmp_path / "other")) as service:
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(service).call("GET", "/health")


def test_plain_http_by_option(database):
    with Service(database, has_tls=False) as service:
        assert service.url.startswith("http://127.0.0.1:") and service.ca_file is None
        assert Client(service).call("GET", "/health").status == 200


# The kind of backend


def test_a_backend_of_this_kind_is_a_service_over_a_database(fresh_backend):
    backend = fresh_backend("service")
    options, env = backend.options(), backend.environment()
    assert options == ["--state-dir", backend.state_dir, "--api-url", backend.service.url,
                       "--read-lag", "0", "--ca-file", backend.service.ca_file]
    assert env["DEEPLAKE_API_KEY"] == backend.service.token
    client = Client(backend.service)
    assert client.call("POST", "/workspaces", {"id": "space"}).status == 201
    assert client.ask("CREATE TABLE t AS SELECT 5 AS n").status == 204
    cursor = backend.connect().cursor()
    cursor.execute("SELECT n FROM space.t")
    assert cursor.fetchall() == [(5,)]
    cursor.execute("SELECT a.name IS NOT DISTINCT FROM e.extname FROM (SELECT name FROM "
                   "pg_available_extensions WHERE name = 'pg_deeplake') a FULL JOIN (SELECT "
                   "extname FROM pg_extension WHERE extname = 'pg_deeplake') e ON true")
    assert cursor.fetchall() in ([], [(True,)])
    client.connection.close()


# Speed

ASKING = """
import socket, ssl, sys
port, authority, n = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
request = sys.stdin.buffer.read()
line = ssl.create_default_context(cafile=authority).wrap_socket(
    socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
for _ in range(n):
    line.sendall(request)
    answer = line.recv(65536)
    assert answer.endswith(b'"rows":[[5]],"row_count":1}'), answer
"""


@pytest.mark.alone
def test_small_statements_are_not_limited_by_the_stand_in(service, client):
    """1,500 a second at 4 connections; counted in its own processor time, so that it is no
    matter what else the machine does."""
    n_clients, n_each = 4, 1000
    body = json.dumps({"query": "SELECT $1::int4", "params": ["5"]}).encode()
    head = f"POST {QUERY} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in
        client.headers(Content_Length=str(len(body))).items()) + "\r\n"
    running = []
    for _ in range(n_clients):
        process = subprocess.Popen(
            [sys.executable, "-c", ASKING, str(service.port), service.ca_file, str(n_each)],
            stdin=subprocess.PIPE)
        running.append(process)
    used, started = time.process_time(), time.monotonic()
    for process in running:
        process.stdin.write(head.encode() + body)
        process.stdin.close()
    assert [process.wait(60) for process in running] == [0] * n_clients
    n = n_clients * n_each
    print(f"{n / (time.monotonic() - started):.0f} statements/s, "
          f"{(time.process_time() - used) / n * 1e6:.0f} µs of processor time each")
    assert (time.process_time() - used) / n < 1 / 1500
