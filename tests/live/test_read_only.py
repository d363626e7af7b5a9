# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Access: a mount with -o ro asks in READ ONLY transactions alone."""

import errno
import json
import os

import psycopg2
import pytest

from support import files
from support.mount import LEDGER, program

# What a saved query may try; {table} has one row, {table}_writes() deletes it.
STATEMENTS = [
    "DELETE FROM {table}",
    "WITH gone AS (DELETE FROM {table} RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE DELETE FROM {table}",
    "SELECT {table}_writes()",
    "SELECT set_config('transaction_read_only', 'off', false), {table}_writes()",
    "SELECT set_config('default_transaction_read_only', 'off', false), {table}_writes()",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM {table}; END $$",
    "DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false);"
    " DELETE FROM {table}; END $$",
    "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; DELETE FROM {table}; END $$",
    "CALL {table}_commits()",
    "SELECT setval('{table}_sequence', 4711)",
    "SELECT nextval('{table}_sequence')",
    "COPY {table} FROM PROGRAM 'echo 7'",
    "CREATE TABLE {table}_2 (id int)",
    "CREATE TEMP TABLE {table}_2 (id int)",
    "TRUNCATE {table}",
    "VACUUM {table}",
    "ALTER SYSTEM SET deeplake.test = 'written'",
    "GRANT SELECT ON {table} TO public",
]

# These are answered, and nothing of them may last.
LASTING = [
    "SET transaction_read_only = off",
    "SET default_transaction_read_only = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "BEGIN READ WRITE",
    "COMMIT",
    "ROLLBACK AND CHAIN",
    "SELECT lo_create(4711)",
    "SELECT lo_from_bytea(4712, 'x')",
    "SELECT pg_advisory_lock(4711)",
    "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
]


def save(mount, name, text):
    """As a mount that may write has saved it."""
    folder = os.path.join(mount.backend.state_dir, "queries", mount.workspace, "root")
    os.makedirs(folder, exist_ok=True)
    files.write(os.path.join(folder, name), text.encode())


def make(mount, table):
    mount.sql(f"""
        CREATE TABLE {table} (id int PRIMARY KEY);
        INSERT INTO {table} VALUES (1);
        CREATE SEQUENCE {table}_sequence;
        CREATE FUNCTION {table}_writes() RETURNS int LANGUAGE plpgsql VOLATILE AS
        $$ BEGIN DELETE FROM {table}; RETURN 1; END $$;
        CREATE PROCEDURE {table}_commits() LANGUAGE plpgsql AS
        $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; DELETE FROM {table}; END $$""")


def state(mount, table):
    """All that the statements above could have changed."""
    return mount.sql(f"""
        SELECT (SELECT array_agg(id) FROM {table}), (SELECT last_value FROM {table}_sequence),
               (SELECT is_called FROM {table}_sequence),
               (SELECT array_agg(c.relname::text || coalesce(relacl::text, '')
                        ORDER BY c.relname)
                FROM pg_class c WHERE relname LIKE '{table}%'),
               (SELECT count(*) FROM pg_largeobject_metadata),
               (SELECT count(*) FROM pg_prepared_xacts),
               (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
               (SELECT count(*) FROM pg_stat_user_tables
                WHERE relname = '{table}' AND last_vacuum IS NOT NULL),
               (SELECT count(*) FROM pg_file_settings WHERE name = 'deeplake.test')""")


def read_error(path):
    """The JSON that a reader of a failed query gets, before the EIO."""
    handle = os.open(path, os.O_RDONLY)
    try:
        text = os.read(handle, 1 << 16)
        with pytest.raises(OSError) as caught:
            while os.read(handle, 1 << 16):
                pass
        assert caught.value.errno == errno.EIO
    finally:
        os.close(handle)
    return json.loads(text)["error"]


@pytest.fixture
def reader(mount, another_mount, table):
    make(mount, table)
    # Few connections: what one query leaves behind, the next one meets.
    return another_mount(mount.workspace, options=["-o", "ro,pool_size=2"])


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
def test_no_statement_changes_anything(mount, reader, table, number):
    """Access: a statement that would change something is refused; what is there stays."""
    before = state(mount, table)
    save(mount, f"{table}.sql", STATEMENTS[number].format(table=table))
    assert read_error(reader.at(f"{table}.sql"))["sqlstate"] in (
        "25006", "25001", "2D000"), STATEMENTS[number]
    assert state(mount, table) == before


@pytest.mark.not_by_service("a request cannot be rolled back, and PostgreSQL before 16 lets large objects be made")
def test_nothing_that_a_statement_sets_lasts(mount, reader, table):
    """Access: the transaction of a query is rolled back, and so is what it set."""
    before = state(mount, table)
    save(mount, f"{table}_delete.sql", f"DELETE FROM {table}")
    for number, statement in enumerate(LASTING):
        save(mount, f"{table}_{number}.sql", statement.format(table=table))
        try:
            files.read(reader.at(f"{table}_{number}.sql"))
        except OSError as error:
            assert error.errno == errno.EIO
        assert read_error(reader.at(f"{table}_delete.sql"))["sqlstate"] == "25006", statement
        assert state(mount, table) == before, statement


@pytest.mark.not_by_service("a request cannot be rolled back, and PostgreSQL before 16 lets large objects be made")
def test_a_view_that_writes_is_undone(mount, reader, table):
    """Access: counting a view calls what the view calls."""
    mount.sql(f"CREATE VIEW {table}_view AS SELECT lo_create(0) AS made FROM {table}")
    before = state(mount, table)
    assert json.loads(files.read(reader.at(f"{table}_view", "info.json")))["row_count"] == 1
    assert len(json.loads(files.read(reader.at(f"{table}_view", "query.sql")))) == 1
    assert len(json.loads(files.read(reader.at("query.sql")))) >= 2
    assert state(mount, table) == before


def test_the_builder_changes_nothing(mount, reader, table):
    """Access: an expression in a path may call functions too."""
    before = state(mount, table)
    error = read_error(reader.at(table, ".select", f"{table}_writes() AS w", "results.json"))
    assert error["sqlstate"] == "25006"
    assert state(mount, table) == before


def test_the_command_line_changes_nothing(mount, table):
    """Access: -o ro is the same for commands."""
    make(mount, table)
    before = state(mount, table)
    ran = mount.backend.command("query", "-o", "ro", f"SELECT {table}_writes()",
                                workspace=mount.workspace)
    assert ran.code != 0 and "read-only" in ran.err, ran
    assert state(mount, table) == before


def test_queries_cannot_be_saved(mount, reader, table):
    """Access: EROFS, and what is saved stays."""
    save(mount, f"{table}.sql", "SELECT 1 AS one")
    for act in (lambda: files.write(reader.at(f"{table}.sql"), b"SELECT 2"),
                lambda: files.write(reader.at(f"{table}_new.sql"), b"SELECT 2"),
                lambda: os.open(reader.at(f"{table}.sql"), os.O_RDWR),
                lambda: os.unlink(reader.at(f"{table}.sql")),
                lambda: os.truncate(reader.at(f"{table}.sql"), 0),
                lambda: os.rename(reader.at(f"{table}.sql"), reader.at(f"{table}_3.sql")),
                lambda: os.setxattr(reader.at("ingest"), "user.a", b"b")):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno == errno.EROFS
    assert json.loads(files.read(reader.at(f"{table}.sql"))) == [{"one": 1}]


def look_everywhere(one, table):
    """Every kind of path answers."""
    assert table in os.listdir(one.path)
    assert json.loads(files.read(one.at("query.sql")))
    assert json.loads(files.read(one.at(table, "query.sql"))) == [{"id": 1}]
    assert json.loads(files.read(one.at(table, "schema.json")))
    assert json.loads(files.read(one.at(table, "info.json")))["row_count"] == 1
    assert os.listdir(one.at(table, "rows")) == ["1"]
    assert files.read(one.at(table, "rows", "1", "id.txt")) == b"1"
    assert os.listdir(one.at(table, "indexes")) == [f"{table}_pkey"]
    for document in os.listdir(one.at(".deeplake")):
        files.read(one.at(".deeplake", document))


def relations(mount, workspace):
    return mount.sql("SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                     " WHERE nspname = %s ORDER BY 1", workspace)


def test_a_schema_that_was_never_used_here_can_be_read(mount, another_mount, table):
    """Access: no ledger is made."""
    mount.sql(f'CREATE SCHEMA "{table}_space"; '
              f'CREATE TABLE "{table}_space".{table} (id int PRIMARY KEY); '
              f'INSERT INTO "{table}_space".{table} VALUES (1)')
    before = relations(mount, f"{table}_space")
    one = another_mount(f"{table}_space", options=["-o", "ro"])
    look_everywhere(one, table)
    assert os.listdir(one.at("ingest")) == [table]
    assert os.listdir(one.zone(table)) == []
    assert not os.path.exists(one.zone(table, "a.txt"))
    assert relations(mount, f"{table}_space") == before
    assert not os.path.exists(os.path.join(mount.backend.state_dir, "queries", f"{table}_space"))


def test_a_ledger_of_an_earlier_version_is_read_and_not_changed(mount, another_mount, table):
    """Access: nothing is migrated."""
    first = another_mount(f"{table}_space")
    os.mkdir(first.zone(table))
    files.write(first.zone(table, "a.txt"), b"x")
    first.umount().ok()
    mount.sql(f'ALTER TABLE "{table}_space".{LEDGER} DROP COLUMN options, DROP COLUMN notes')
    one = another_mount(f"{table}_space", options=["-o", "ro"])
    assert os.listdir(one.zone(table)) == ["a.txt"]
    assert files.read(one.zone(table, "a.txt")) == b"x"
    assert mount.sql("SELECT count(*) FROM information_schema.columns WHERE table_schema = %s"
                     " AND column_name IN ('options', 'notes')", f"{table}_space") == [(0,)]


def test_a_workspace_that_is_not_there_is_not_made(mount, table):
    """Access: the reason says what is missing."""
    path = os.path.join(mount.backend.folder, "nowhere")
    os.makedirs(path, exist_ok=True)
    ran = mount.backend.command("mount", "-o", "ro", path, workspace=f"{table}_none")
    assert ran.code != 0 and f"{table}_none" in ran.err and "read-only" in ran.err, ran
    assert mount.sql("SELECT count(*) FROM pg_namespace WHERE nspname = %s",
                     f"{table}_none") == [(0,)]


def test_a_private_server_that_is_not_there_is_not_made(work):
    """Access: nothing is left behind either."""
    os.chmod(work, 0o755)
    os.mkdir(os.path.join(work, "mnt"))
    ran = program("mount", "--state-dir", os.path.join(work, "state"), "-o", "ro",
                  os.path.join(work, "mnt"))
    assert ran.code != 0 and "no private server" in ran.err, ran
    assert os.listdir(work) == ["mnt"]


@pytest.mark.not_by_service("rights are those of its token")
@pytest.mark.parametrize("sees_ledger", [False, True])
def test_a_role_that_may_only_select_is_enough(mount, another_mount, table, sees_ledger):
    """Access: USAGE of the schema and SELECT are all that is asked for."""
    if mount.backend.kind == "embedded":
        pytest.skip("the private server has one role")
    make(mount, table)
    mount.sql(f"CREATE ROLE {table}_reader LOGIN;"
              f'GRANT USAGE ON SCHEMA "{mount.workspace}" TO {table}_reader;'
              f"GRANT SELECT ON {table} TO {table}_reader")
    if sees_ledger:
        mount.sql(f"GRANT SELECT ON {LEDGER} TO {table}_reader")
    parameters = psycopg2.extensions.parse_dsn(mount.backend.dsn)
    parameters["user"] = f"{table}_reader"
    own = type(mount.backend)("external", dsn=psycopg2.extensions.make_dsn(**parameters))
    one = type(mount)(own, mount.workspace, options=["-o", "ro"])
    try:
        one.start()
        assert table in os.listdir(one.path)
        assert json.loads(files.read(one.at(table, "query.sql"))) == [{"id": 1}]
        assert json.loads(files.read(one.at(table, "info.json")))["row_count"] == 1
        assert files.read(one.at(table, "rows", "1", "id.txt")) == b"1"
        files.read(one.at(".deeplake", "wait"))
        if sees_ledger:
            os.listdir(one.zone(table))
    finally:
        one.teardown()
        own.destroy()
        mount.sql(f"DROP OWNED BY {table}_reader; DROP ROLE {table}_reader")
