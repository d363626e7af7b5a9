# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Search: the server's extension, as the mount and the command line use it."""

import json
import os
import subprocess

import pytest

from support import files, relocated
from support.mount import PROGRAM, Backend, Mount, environment
from support.fixtures import tear_down

pytestmark = pytest.mark.skipif(relocated.why_not() is not None,
                                reason=str(relocated.why_not()))

INSTALLED = "SELECT extversion FROM pg_extension WHERE extname = 'pg_deeplake'"


def status(mount):
    return json.loads(files.read(mount.at(".deeplake", "status.json")))


@pytest.fixture
def embedded(fresh_backend):
    return Mount(fresh_backend("embedded")).start()


def test_a_private_server_has_the_extension_and_preloads_it(embedded):
    """Search."""
    assert embedded.sql(INSTALLED) == [("1.0",)]
    assert embedded.sql("SHOW session_preload_libraries") == [("pg_deeplake",)]
    assert embedded.sql("SHOW deeplake.hybrid_fusion") == [("softmax",)]
    assert status(embedded)["extension"] == "1.0"
    assert "extension_trouble" not in status(embedded)


def test_any_other_database_gets_no_extension_unasked(fresh_backend):
    """Search: with --dsn nothing is created; what is there is used."""
    backend = fresh_backend("external")
    mount = Mount(backend).start()
    assert mount.sql(INSTALLED) == []
    assert status(mount)["extension"] is None
    ran = backend.command("query", "SELECT '{1}'::float4[] <#> '{1}'::float4[]")
    assert ran.code != 0
    assert "CREATE EXTENSION pg_deeplake" in ran.err
    mount.sql("CREATE EXTENSION pg_deeplake SCHEMA public")
    again = Mount(backend, "again").start()
    assert status(again)["extension"] == "1.0"
    assert json.loads(backend.command(
        "query", "SELECT '{1}'::float4[] <#> '{1}'::float4[] AS score").ok().out) == [
            {"score": 1}]


def test_a_server_without_the_files_works_as_it_did(fresh_backend):
    """Search: without the extension everything but search is there."""
    with relocated.Relocated(has_extension=False) as plain:
        backend = Backend("embedded", programs=plain.programs)
        try:
            mount = Mount(backend).start()
            assert status(mount)["extension"] is None
            os.mkdir(mount.zone("notes"))
            files.write(mount.zone("notes", "a.txt"), b"some words")
            assert mount.chunks("notes", "a.txt") == [(0, "some words")]
            ran = backend.command("query", "SELECT 1 AS one").ok()
            assert json.loads(ran.out) == [{"one": 1}]
            assert mount.sql("SHOW session_preload_libraries") == [("",)]
        finally:
            tear_down(backend)


def test_a_name_that_is_taken_is_told_and_stops_nothing(programs):
    """Search: status.json says why there is none."""
    with relocated.Relocated(has_extension=False) as plain:
        backend = Backend("embedded", programs=plain.programs)
        try:
            mount = Mount(backend, "public").start()
            mount.sql("CREATE TABLE image (id int)")
            mount.teardown()
            backend.programs = programs
            mount = Mount(backend, "public").start()
            found = status(mount)
            assert found["extension"] is None
            assert '"image" already exists' in found["extension_trouble"]
            mount.sql("DROP TABLE image")
            mount.teardown()
            mount = Mount(backend, "public").start()
            assert status(mount)["extension"] == "1.0"
        finally:
            tear_down(backend)


def test_a_read_only_mount_creates_nothing(fresh_backend):
    """Search."""
    backend = fresh_backend("embedded")
    mount = Mount(backend).start()
    mount.sql("DROP EXTENSION pg_deeplake")
    mount.teardown()
    mount = Mount(backend, options=["-o", "ro"]).start()
    assert status(mount)["extension"] is None


def test_many_that_begin_at_once_create_it_once(fresh_backend):
    """Search."""
    backend = fresh_backend("embedded")
    arguments = [PROGRAM, "query", *backend.options(), "SELECT extversion FROM pg_extension"
                 " WHERE extname = 'pg_deeplake'"]
    keeper = Mount(backend).start()
    keeper.sql("DROP EXTENSION pg_deeplake")
    running = [subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for _ in range(6)]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out) == [{"extversion": "1.0"}]


def columns(mount, table):
    return dict(mount.sql("""SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0""", table))


def put_image(mount, table):
    with subprocess.Popen(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:8x8",
                           "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"],
                          stdout=subprocess.PIPE) as maker:
        picture = maker.communicate()[0]
    files.write(mount.zone(table, "a.png"), picture)
    return picture


def test_columns_of_new_tables_have_the_extensions_types(embedded):
    """Search: IMAGE and VIDEO columns are of the domains; those of older tables stay."""
    os.mkdir(embedded.zone("pictures"))
    picture = put_image(embedded, "pictures")
    assert columns(embedded, "pictures")["image"] == "image"
    assert [bytes(row[0]) for row in embedded.sql("SELECT image FROM pictures")] == [picture]
    schema = json.loads(files.read(embedded.at("pictures", "schema.json")))
    assert "IMAGE" in json.dumps(schema)


def test_a_table_of_the_same_name_is_not_taken_for_the_type(embedded):
    """Search: types are looked for in the extension's schema, not in the workspace."""
    os.mkdir(embedded.at("image"))
    os.mkdir(embedded.zone("pictures"))
    put_image(embedded, "pictures")
    assert columns(embedded, "pictures")["image"] == "public.image"


def test_tables_of_a_database_without_it_stay_as_they_are(fresh_backend):
    """Search: bytea before CREATE EXTENSION stays bytea, and takes files."""
    mount = Mount(fresh_backend("external")).start()
    os.mkdir(mount.zone("old"))
    put_image(mount, "old")
    assert columns(mount, "old")["image"] == "bytea"
    mount.sql("CREATE EXTENSION pg_deeplake SCHEMA public")
    with open(mount.zone("old", "b.png"), "wb") as file:
        file.write(files.read(mount.zone("old", "a.png")))
    assert columns(mount, "old")["image"] == "bytea"
    assert mount.n_rows("old") == 2
    os.mkdir(mount.zone("new"))
    put_image(mount, "new")
    assert columns(mount, "new")["image"] == "image"
