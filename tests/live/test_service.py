# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, The service: which one is used, what it refuses, queries, and `ro`."""

import errno
import json
import os
import signal
import subprocess
import time

import pytest

from support import files
from support.fixtures import make_backend, tear_down
from support.mount import PROGRAM, Mount, environment, program, run, wait_for
from support.service import AFTER, statement

SAID_BY_A_PROXY = "a proxy answered with a web page (status 403), not the service"


@pytest.fixture(scope="module")
def backend(postgres):
    made = make_backend("service", postgres)
    yield made
    tear_down(made)


@pytest.fixture
def service(backend):
    """Whose faults end with the test."""
    yield backend.service
    backend.service.clear()


def errno_of(act, *arguments):
    with pytest.raises(OSError) as caught:
        act(*arguments)
    return caught.value.errno


def failures(mount):
    return [json.loads(line) for line in files.read(
        mount.at(".deeplake", "errors.jsonl")).decode().splitlines()]


def fail_with(mount, number, act, *arguments):
    """The line of errors.jsonl that this failure left."""
    n_before = len(failures(mount))
    assert errno.errorcode[errno_of(act, *arguments)] == errno.errorcode[number]
    found = failures(mount)
    assert len(found) > n_before, "the failure is not in errors.jsonl"
    return found[-1]


def count_of(backend, sql):
    cursor = backend.connect().cursor()
    cursor.execute(sql)
    return cursor.fetchall()[0][0]


def query(backend, sql, *arguments, **options):
    return backend.command("query", sql, *arguments, **options)


# Choosing


def status(backend, *options, **variables):
    """(what it says as text, the object of --json)"""
    env = environment(**variables)
    both = [program("status", *options, *form, env=env) for form in ((), ("--json",))]
    assert both[0].code == both[1].code
    return both[0], json.loads(both[1].out)


def service_options(backend):
    return ["--state-dir", backend.state_dir, "--api-url", backend.service.url, "--ca-file",
            backend.service.ca_file]


def test_a_dsn_comes_before_a_token(backend):
    """The service, Which one is used."""
    said, found = status(backend, *service_options(backend), "--dsn", backend.verify_dsn,
                         DEEPLAKE_API_KEY=backend.service.token)
    assert "transport:      postgresql, as dsn is set" in said.ok().out
    assert (found["transport"], found["reason"]) == ("postgresql", "dsn is set")
    assert "api_url" not in found


def test_a_token_in_the_environment_comes_before_the_private_server(backend):
    """The service, Which one is used; status says which, why, and whether it is well."""
    said, found = status(backend, *service_options(backend),
                         DEEPLAKE_API_KEY=backend.service.token)
    assert "transport:      service, as DEEPLAKE_API_KEY is set" in said.ok().out
    assert f"service:        {backend.service.url}, healthy" in said.out
    assert (found["transport"], found["reason"]) == ("service", "DEEPLAKE_API_KEY is set")
    assert found["api_url"] == backend.service.url and found["healthy"] is True


def test_a_token_file_comes_before_the_private_server(backend, work):
    """The service, Which one is used."""
    path = write_token(work, backend.service.token)
    said, found = status(backend, *service_options(backend), "--token-file", path)
    assert "transport:      service, as token_file is set" in said.ok().out
    assert (found["transport"], found["reason"]) == ("service", "token_file is set")


def test_without_dsn_and_token_there_is_the_private_server(backend):
    """The service, Which one is used: api_url alone chooses nothing, and nothing is made."""
    said, found = status(backend, *service_options(backend))
    assert "transport:      embedded, as neither dsn nor token is set" in said.ok().out
    assert (found["transport"], found["reason"]) == (
        "embedded", "neither dsn nor token is set")
    assert not os.path.exists(os.path.join(backend.state_dir, "server", "data"))


def test_status_of_a_service_that_is_away_says_so(backend):
    """The service, Which one is used: exit status 2, and what to try."""
    options = [*service_options(backend), "--api-url", "http://127.0.0.1:9"]
    said, found = status(backend, *options, DEEPLAKE_API_KEY=backend.service.token)
    assert said.code == 2 and "service:        http://127.0.0.1:9, not healthy" in said.out
    assert found["healthy"] is False
    assert "Try: curl http://127.0.0.1:9/health" in said.err


def test_the_workspace_is_the_argument_or_that_of_the_environment(backend):
    """The service, Which one is used: DEEPLAKE_WORKSPACE, and --workspace before it."""
    env = backend.environment(DEEPLAKE_WORKSPACE="of_environment")
    options = backend.options()
    ran = program("query", *options, "CREATE TABLE t (a int)", env=env).ok()
    ran = program("query", *options, "--workspace", "of_argument", "CREATE TABLE t (a int)",
                  env=env).ok()
    assert ran.out == "[]\n"
    assert count_of(backend, "SELECT count(*) FROM pg_tables WHERE tablename = 't' AND "
                    "schemaname IN ('of_environment', 'of_argument')") == 2
    one = Mount(backend, "of_argument")
    one.options = ["-o", "ro"]
    one.start()
    assert "t" in os.listdir(one.path)
    one.umount().ok()


def test_status_json_of_a_mount_names_the_service(mount, backend):
    """Control: the transport; Freshness: nobody tells what others change."""
    found = json.loads(files.read(mount.at(".deeplake", "status.json")))
    assert found["transport"] == "service" and found["freshness"] == "timeouts"
    assert found["server_version"].startswith("15")


# What the service refuses


def write_token(work, token, mode=0o600):
    path = os.path.join(work, "token")
    files.write(path, token + "\n")
    os.chmod(path, mode)
    return path


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_token_file_is_no_token(backend, work, text):
    """The service, The token: "Token required", and where it can come from."""
    path = write_token(work, text)
    ran = program("tables", *backend.options(), "--token-file", path, env=environment())
    assert ran.code != 0 and "Token required" in ran.err
    assert "Set DEEPLAKE_API_KEY, or name a file with --token-file." in ran.err


def test_a_token_without_an_organization_asks_me(backend):
    """The service, The token: GET /me knows the organization."""
    env = environment(DEEPLAKE_API_KEY=backend.service.new_token(has_organization=False))
    backend.service.forget_requests()
    assert program("tables", *backend.options(), env=env).ok().code == 0
    assert backend.service.requests[0].path == "/me"


@pytest.mark.parametrize("organizations", [[], None])
def test_a_token_without_any_organization_is_refused(backend, service, organizations):
    """The service, The token: "Token does not contain org_id"."""
    env = environment(DEEPLAKE_API_KEY=service.new_token(has_organization=False))
    if organizations is None:
        service.fail(404, when="/me")
    former, service.organizations = service.organizations, []
    try:
        ran = program("tables", *backend.options(), env=env)
    finally:
        service.organizations = former
    assert ran.code == 2 and "Token does not contain org_id" in ran.err
    assert f"GET {service.url}/me knows of no organization either" in ran.err


def test_an_expired_token_is_told_before_anything_is_asked(backend):
    """The service, The token: "Token expired", with its date."""
    env = environment(DEEPLAKE_API_KEY=backend.service.new_token(lifetime=-3600))
    backend.service.forget_requests()
    ran = program("tables", *backend.options(), env=env)
    assert ran.code == 2 and "Token expired on 20" in ran.err
    assert "Set DEEPLAKE_API_KEY to a new token" in ran.err
    assert backend.service.requests == []


def test_a_token_that_the_service_calls_expired_or_invalid(backend):
    """The service, The token: what comes with 401, in its words."""
    token = backend.service.new_token()
    backend.service.expire(token)
    ran = program("tables", *backend.options(), env=environment(DEEPLAKE_API_KEY=token))
    assert ran.code == 2 and "Token expired: token is expired" in ran.err
    assert "Set DEEPLAKE_API_KEY to a new token" in ran.err
    strange = ".".join(token.split(".")[:2] + ["AAAA"])
    ran = program("tables", *backend.options(), env=environment(DEEPLAKE_API_KEY=strange))
    assert ran.code == 2 and "Token invalid: invalid token" in ran.err


def test_a_malformed_token_is_no_token(backend):
    """The service, The token: and no error repeats it."""
    ran = program("tables", *backend.options(), env=environment(DEEPLAKE_API_KEY="two.parts"))
    assert ran.code == 2 and "the token is malformed" in ran.err and "two.parts" not in ran.err


def test_a_token_file_that_others_can_read_is_refused(backend, work):
    """The service, The token: as ssh does with private keys."""
    path = write_token(work, backend.service.token, mode=0o644)
    ran = program("tables", *backend.options(), "--token-file", path, env=environment())
    assert ran.code == 2 and "can be read or changed by others" in ran.err
    assert f"chmod 600 {path}" in ran.err


@pytest.mark.parametrize("name", ["--token", "--api-key"])
def test_a_token_on_the_command_line_is_refused_without_being_repeated(backend, name):
    """Access, Secrets."""
    ran = program("tables", *backend.options(), name, backend.service.token,
                  env=environment())
    assert ran.code == 1 and "--token-file" in ran.err
    assert backend.service.token not in ran.err + ran.out


def test_an_empty_workspace_is_none(backend):
    """The service, Errors: "workspace_id required"."""
    ran = program("tables", *backend.options(), "--workspace", "", env=backend.environment())
    assert ran.code == 1 and "workspace_id required" in ran.err
    assert "DEEPLAKE_WORKSPACE" in ran.err


def test_a_workspace_that_is_not_there_cannot_be_mounted_read_only(backend):
    """Access, Read-only; The service, Errors: class WORKSPACE of the specification."""
    one = Mount(backend, "nowhere")
    ran = program("mount", *backend.options(), "-o", "ro", "nowhere", one.path,
                  env=backend.environment())
    assert ran.code == 2
    assert "the workspace nowhere, which a read-only mount does not make: Not found" in ran.err
    assert "See that the workspace is spelled right" in ran.err
    assert not count_of(backend, "SELECT count(*) FROM pg_namespace WHERE nspname = 'nowhere'")


def test_a_workspace_that_is_missing_is_made(backend):
    """The service, Which one is used."""
    backend.service.forget_requests()
    assert backend.command("tables", workspace="brand new").ok().out == ""
    assert ("POST", "/workspaces") in [(one.method, one.path)
                                       for one in backend.service.requests]
    assert count_of(backend, "SELECT count(*) FROM pg_namespace WHERE nspname = 'brand new'")


def test_a_table_of_a_name_that_is_taken(mount, backend, table):
    """Tables: EEXIST; "already exists" by SQL with its SQLSTATE."""
    os.mkdir(mount.at(table))
    assert errno_of(os.mkdir, mount.at(table)) == errno.EEXIST
    mount.sql(f'CREATE TABLE "{table}_2" (a int)')
    with pytest.raises(FileExistsError):
        wait_for(lambda: os.mkdir(mount.at(table + "_2")), 1)
    ran = query(backend, f'CREATE TABLE "{table}" (a int)')
    assert ran.code == 1 and f'relation "{table}" already exists' in ran.err
    assert "42P07" in ran.err


def test_a_file_that_is_not_there(mount, backend, work, table):
    """The service, Errors: File not found, and nothing is asked for it."""
    ran = backend.command("ingest", table, os.path.join(work, "none.txt"))
    assert ran.code == 1 and "none.txt: No such file or directory" in ran.err
    assert not mount.table_exists(table)


# (what the service does, errno of cp, what errors.jsonl says, part of its hint)
REFUSALS = {
    "402": ({"status": 402}, errno.EPERM,
            "the service wants to be paid: insufficient balance, please top up (balance: 0.00)",
            "Top up the account"),
    "403": ({"status": 403}, errno.EACCES,
            "the service does not allow it: forbidden (status 403)",
            "See that the token may do it"),
    "403 page": ({"status": 403, "is_html": True}, errno.EACCES, SAID_BY_A_PROXY, "https_proxy"),
    "404": ({"status": 404, "body": {"error": "Not found: /x"}}, errno.ENOENT, "Not found: /x",
            None),
    "409": ({"status": 409, "body": {"error": "taken"}}, errno.EEXIST,
            "it is there already: taken (status 409)", None),
    "413": ({"status": 413, "is_html": True}, errno.EFBIG,
            "the service takes no request as large: a web page came (status 413)", None),
    "400": ({"status": 400, "body": {"error": "invalid params"}}, errno.EINVAL,
            "the service takes it for wrong: invalid params (status 400)", None),
    "500": ({"status": 500, "body": {"error": "out of luck"}}, errno.EHOSTDOWN,
            "the service is in trouble: out of luck (status 500)", None),
    "302": ({"status": 302, "is_html": True}, errno.EIO,
            "the service sends us elsewhere, where the token must not go: a web page came "
            "(status 302)", "--api-url"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_service_refuses_is_told_to_cp_with_its_reason(mount, service, zone, table,
                                                               case):
    """The service, Errors: errno, message and hint of each status."""
    switch, number, message, hint = REFUSALS[case]
    service.fail(n=None, when=statement("INSERT INTO|^DO"), **switch)
    found = fail_with(mount, number, files.write, os.path.join(zone, "a.bin"), b"a")
    service.clear()
    assert found["message"].endswith(message)
    assert (hint or "") in (found["hint"] or "")
    assert found["sqlstate"] is None
    assert message in files.read(os.path.join(zone, "a.bin.error")).decode()
    assert mount.ledger(table, "a.bin") is None
    files.write(os.path.join(zone, "a.bin"), b"a")
    assert mount.data(table, "a.bin") == [(b"a", "a.bin")]


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_service_refuses_is_told_by_commands(backend, service, case):
    """The service, Errors: exit status 1 for refusals, 2 where it is away or broken."""
    switch, number, message, hint = REFUSALS[case]
    service.fail(n=None, when=statement("the one that fails"), **switch)
    ran = query(backend, "SELECT 'the one that fails'")
    assert ran.code == (2 if number in (errno.EHOSTDOWN, errno.EIO) else 1), ran
    assert message in ran.err and (hint or "") in ran.err


STATEMENTS = {
    "42P01": ("SELECT * FROM missing", 'relation "missing" does not exist', errno.EINVAL),
    "42703": ("SELECT missing", 'column "missing" does not exist', errno.EINVAL),
    "42601": ("SELEC 1", 'syntax error at or near "SELEC"', errno.EINVAL),
    "22012": ("SELECT 1 / 0", "division by zero", errno.EINVAL),
    "22P02": ("SELECT 'a'::int", 'invalid input syntax for type integer: "a"', errno.EINVAL),
    "23505": ("INSERT INTO taken VALUES (1)",
              'duplicate key value violates unique constraint "taken_pkey"', errno.EINVAL),
    "42P07": ("CREATE TABLE taken (a int)", 'relation "taken" already exists', errno.EINVAL),
}


@pytest.mark.parametrize("state", STATEMENTS)
def test_what_postgresql_says_keeps_its_sqlstate_and_message(mount, state):
    """Queries, An error: the writer's errno; errors.jsonl has sqlstate and message."""
    sql, message, number = STATEMENTS[state]
    mount.sql("CREATE TABLE IF NOT EXISTS taken (a int PRIMARY KEY)")
    mount.sql("INSERT INTO taken VALUES (1) ON CONFLICT DO NOTHING")
    found = fail_with(mount, number, files.write, mount.at(f"wrong{state}.sql"), sql)
    assert found["sqlstate"] == state and message in found["message"]


def test_a_reader_gets_the_sqlstate_of_what_fails_later(mount):
    """Queries, An error: JSON, then EIO; the service gives no detail and no position."""
    mount.sql("CREATE TABLE passing (a int)")
    files.write(mount.at("passing.sql"), "SELECT a FROM passing")
    mount.sql("DROP TABLE passing")
    ran = run("cat", mount.at("passing.json"))
    error = json.loads(ran.out)["error"]
    assert ran.code != 0 and error["sqlstate"] == "42P01" and error["class"] == "ManagedServiceError"
    assert error["message"] == 'relation "passing" does not exist'
    assert error["detail"] is None and error["position"] is None
    os.unlink(mount.at("passing.sql"))


# Queries


def test_a_query_that_changes_data_is_run_once(mount, backend, table):
    """Queries: later reads return the result it had then."""
    mount.sql(f'CREATE TABLE "{table}" (n int)')
    path = mount.at(table + ".sql")
    files.write(path, f'INSERT INTO "{table}" VALUES (1), (2) RETURNING n')
    for _ in range(3):
        assert json.loads(files.read(path)) == [{"n": 1}, {"n": 2}]
    assert files.read(mount.at(table + ".csv")) == b"n\n1\n2\n"
    assert mount.n_rows(table) == 2
    assert query(backend, f'UPDATE "{table}" SET n = n + 10').ok().out == "[]\n"
    assert mount.sql(f'SELECT sum(n) FROM "{table}"') == [(23,)]


@pytest.mark.parametrize("where", ["before", "middle", "after"])
def test_a_change_whose_answer_is_lost_is_not_repeated(mount, backend, service, table, where):
    """The service, Repeating: a user's change may have been executed, and the hint says so."""
    mount.sql(f'CREATE TABLE "{table}" (n int)')
    service.cut(where, n=None, when=statement("^INSERT INTO"))
    ran = query(backend, f'INSERT INTO "{table}" VALUES (1)')
    assert ran.code == 2
    assert "It may have been executed all the same: look before you repeat it." in ran.err
    assert mount.n_rows(table) == (0 if where == "before" else 1)


def test_a_change_that_was_not_taken_is_repeated(mount, backend, service, table):
    """The service, Repeating: 429, and 503 with Retry-After."""
    mount.sql(f'CREATE TABLE "{table}" (n int)')
    service.fail(429, when=statement("^INSERT INTO"), retry_after=1)
    service.fail(503, when=statement("^INSERT INTO"), retry_after=1)
    assert query(backend, f'INSERT INTO "{table}" VALUES (1)').ok()
    assert mount.n_rows(table) == 1


def test_show_and_explain_give_their_results(mount, backend):
    """The service, Queries: statements that are no SELECT."""
    assert json.loads(query(backend, "SHOW server_version_num").ok().out)[0][
        "server_version_num"].startswith("15")
    plan = json.loads(query(backend, "EXPLAIN SELECT 1").ok().out)
    assert "Result" in plan[0]["QUERY PLAN"]
    files.write(mount.at("show.sql"), "SHOW search_path")
    path = json.loads(files.read(mount.at("show.sql")))[0]["search_path"]
    assert path.replace('"', "") == "live, public"
    files.write(mount.at("explain.sql"), "EXPLAIN SELECT 2")
    assert b"Result" in files.read(mount.at("explain.sql"))
    assert json.loads(query(backend, "VALUES (1), (2)").ok().out) == [
        {"column1": 1}, {"column1": 2}]


SYNTAX_ERRORS = {
    "SELECT * FORM t": 'syntax error at or near "FORM"',
    "SELEC 1": 'syntax error at or near "SELEC"',
    "SELECT (1": 'syntax error at end of input',
    "SELECT 1)": 'syntax error at or near ")"',
    "SELECT 1; SELECT 2": "cannot insert multiple commands into a prepared statement",
    "INSERT INTO t VALUE (1)": 'syntax error at or near "VALUE"',
}


@pytest.mark.parametrize("sql", SYNTAX_ERRORS)
def test_a_syntax_error_keeps_its_message(backend, sql):
    """The service, Queries: what PostgreSQL says of the statement as it was written."""
    ran = query(backend, sql)
    assert ran.code == 1 and SYNTAX_ERRORS[sql] in ran.err, ran.err


def test_ctrl_c_cancels_a_long_query_on_the_server(backend, service):
    """Queries: Ctrl-C cancels it on the server; the exit status is 130."""
    sql = "SELECT pg_sleep(60), 'to be cancelled'"
    running = subprocess.Popen(
        [PROGRAM, "query", *backend.options(), "--workspace", "live", sql],
        env=backend.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    n_active = ("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                "query LIKE '%''to be cancelled''%' AND pid <> pg_backend_pid()")
    wait_for(lambda: count_of(backend, n_active) == 1, 20, "the query to run")
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == 130
    wait_for(lambda: count_of(backend, n_active) == 0, 10, "the query to end on the server")


def test_query_timeout_bounds_a_query(backend):
    """Queries: ETIMEDOUT."""
    started = time.monotonic()
    ran = query(backend, "SELECT pg_sleep(60)", "-o", "query_timeout=1s")
    assert ran.code == 1 and time.monotonic() - started < 20
    assert "the query took longer than query_timeout, 1000 ms" in ran.err


# Empty answers


def test_what_is_there_is_never_missing_from_an_empty_answer(mount, backend, service, table):
    """The service, Answers without rows: listings, lookups, queries, rows."""
    zone = mount.zone(table)
    os.mkdir(zone)
    for number in range(5):
        files.write(os.path.join(zone, f"{number}.bin"), b"%d" % number)
    time.sleep(1.1)
    acts = {
        "the root": lambda: table in os.listdir(mount.path),
        "a zone": lambda: os.listdir(zone) == [f"{n}.bin" for n in range(5)],
        "a file": lambda: os.stat(os.path.join(zone, "3.bin")).st_size == 1,
        "its bytes": lambda: files.read(os.path.join(zone, "4.bin")) == b"4",
        "rows": lambda: len(os.listdir(mount.at(table, "rows"))) == 5,
        "a row": lambda: files.read(mount.at(table, "rows", "2", "data.bin")) in
        [b"%d" % n for n in range(5)],
        "info.json": lambda: json.loads(files.read(mount.at(table, "info.json")))[
            "row_count"] == 5,
        "schema.json": lambda: len(json.loads(files.read(mount.at(table, "schema.json")))) == 4,
        "query.sql": lambda: len(json.loads(files.read(mount.at(table, "query.sql")))) == 5,
        "a query": lambda: json.loads(query(
            backend, f'SELECT count(*) FROM "{table}"').ok().out) == [{"count": 5}],
        "tables": lambda: table in backend.command("tables").ok().out,
    }
    for name, act in acts.items():
        time.sleep(1.05)
        service.answer_empty(n=2)
        assert act(), name
        assert service.n_faults_left() == 0, f"{name}: nothing was asked"


def test_a_service_that_stays_without_rows_is_away(mount, service, zone, table):
    """The service, Answers without rows: EHOSTDOWN, and no empty folder."""
    files.write(os.path.join(zone, "a.bin"), b"a")
    time.sleep(1.1)
    service.answer_empty(n=None)
    assert errno_of(os.listdir, zone) == errno.EHOSTDOWN
    service.clear()
    assert os.listdir(zone) == ["a.bin"]


def test_a_large_folder_is_listed_page_by_page(mount, service, zone, table):
    """The service, Answers without rows: an empty page is not the end."""
    mount.sql(f"""INSERT INTO deeplakefs_ledger (table_name, folder, name, kind, file_id,
        size_bytes, mtime_ns, mode, uid, gid, content_hash, n_rows)
        SELECT '{table}', '', n || '.bin', 'other', gen_random_uuid(), 1, 0,
        33188, 0, 0, '', 0 FROM generate_series(1, 12000) n""")
    time.sleep(1.2)
    service.forget_requests()
    service.answer_empty(n=3, when=statement(r"deeplakefs_ledger.*LIMIT"))
    assert len(os.listdir(zone)) == 12000
    assert service.n_faults_left() == 0
    n_pages = len([sql for sql in service.statements() if "LIMIT" in sql])
    assert n_pages > 3 and not any("OFFSET" in sql for sql in service.statements())
    mount.sql("DELETE FROM deeplakefs_ledger WHERE table_name = %s", table)


# Read-only


def test_a_read_only_mount_changes_nothing_whatever_a_query_calls(backend, another_mount,
                                                                 service):
    """Access, Read-only: functions and sequences in a query, views, and their counts."""
    writing = Mount(backend, "only").start()
    os.mkdir(writing.at("t"))
    writing.sql("CREATE SEQUENCE counter")
    writing.sql("CREATE FUNCTION sly() RETURNS int LANGUAGE sql AS "
                "$$ INSERT INTO t DEFAULT VALUES RETURNING id::int $$")
    writing.sql("CREATE VIEW trap AS SELECT sly() AS a")
    writing.umount().ok()
    one = another_mount("only", options=["-o", "ro"])
    service.forget_requests()
    for sql in ("SELECT nextval('counter')", "SELECT sly()", "SELECT * FROM trap",
                "SELECT setval('counter', 40)", "WITH x AS (SELECT sly() AS a) TABLE x",
                "SELECT 1 FROM t HAVING sly() > 0", "TABLE trap"):
        ran = backend.command("query", "-o", "ro", sql, workspace="only")
        assert ran.code == 1 and "25006" in ran.err, (sql, ran.err)
    assert errno_of(os.mkdir, one.at("u")) == errno.EROFS
    with pytest.raises(OSError):
        files.read(one.at("trap", "info.json"))
    assert run("cat", one.at("trap", "query.sql")).code != 0
    for sql in ("INSERT INTO t DEFAULT VALUES", "DROP TABLE t", "CREATE TABLE u (a int)",
                "SELECT 1 INTO u", "VACUUM t", "SET search_path = pg_catalog",
                "COPY t TO STDOUT", "DO 'BEGIN PERFORM sly(); END'", "CALL sly()",
                "EXPLAIN ANALYZE INSERT INTO t DEFAULT VALUES", "SELECT sly()) --",
                "SELECT 1) AS q; DROP TABLE t; --"):
        ran = backend.command("query", "-o", "ro", sql, workspace="only")
        assert ran.code != 0, sql
    assert one.sql("SELECT last_value, is_called FROM counter") == [(1, False)]
    assert one.n_rows("t") == 0
    assert not any(one.startswith(("CREATE", "INSERT", "DELETE", "DO", "UPDATE"))
                   for one in service.statements())


def test_backslashes_survive_whatever_the_database_makes_of_them(mount, backend, zone, table):
    """Text: a chunk has the characters of the file; one file, several rows, and a replacement."""
    texts = [r"\' || 1 -- \n \\ '' ", "C:\\new\\table\n" * 200, "\\" * 3001, "\\'" * 700]
    setting = "standard_conforming_strings"
    name = count_of(backend, "SELECT current_database()")
    files.write(os.path.join(zone, "first.txt"), "makes the table")
    try:
        mount.sql(f'ALTER DATABASE "{name}" SET {setting} = off')
        mount.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                  " WHERE application_name = 'deeplake-stand-in'")
        wait_for(lambda: '"off"' in run("cat", mount.at("setting.sql")).out or files.write(
            mount.at("setting.sql"), f"SELECT current_setting('{setting}') AS s"), 10, setting)
        for number, text in enumerate(texts):
            for content in text, text + "again\\":
                path = files.write(os.path.join(zone, f"{number}.txt"), content)
                assert mount.chunks(table, os.path.basename(path)) == files.expected_rows(content)
    finally:
        mount.sql(f'ALTER DATABASE "{name}" RESET {setting}')
        mount.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                  " WHERE application_name = 'deeplake-stand-in'")
        wait_for(lambda: '"on"' in run("cat", mount.at("setting.sql")).out, 10, setting)
    assert mount.n_orphans(table) == 0
