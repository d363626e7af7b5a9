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


# --- the specification's statements, as they are written there ---

SIMILAR = """
    SELECT id, text, embedding <#> $1::float4[] AS similarity
    FROM embeddings
    ORDER BY similarity DESC LIMIT 10
"""
SCORED = """
    SELECT id, text, embedding <#> $1::float4[] AS score
    FROM embeddings
    ORDER BY score DESC LIMIT 10
"""


@pytest.fixture(scope="module")
def searchable(programs):
    """A mount on a private server with the tables that the specification's examples use."""
    backend = Backend("embedded", programs=programs)
    mount = Mount(backend).start()
    mount.sql("CREATE TABLE embeddings (id int PRIMARY KEY, text text, embedding embedding)")
    mount.sql("""INSERT INTO embeddings SELECT i, 'text ' || i, ARRAY[i, 1, 0]
                 FROM generate_series(0, 20) i""")
    mount.sql("""CREATE TABLE documents (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
                 file_id text, title text, content text, text text, category text,
                 metadata jsonb, embedding float4[])""")
    mount.sql("""INSERT INTO documents (id, file_id, text, embedding) VALUES
                 (42, 'abc', 'an important keyword, and more', '{1,0}'),
                 (43, 'old-file-123', 'another', '{0,1}'), (44, 'abc', 'a third', '{1,1}')""")
    mount.sql("SELECT setval(pg_get_serial_sequence('documents', 'id'), 100)")
    mount.sql("CREATE TABLE videos (id int PRIMARY KEY, file_id text, text text,"
              " start_time float8)")
    mount.sql("INSERT INTO videos SELECT i, 'abc', 'scene ' || i, 10 * i"
              " FROM generate_series(1, 20) i")
    yield mount
    tear_down(backend)


@pytest.fixture(params=["file", "command"])
def ask(request, searchable):
    """Runs a statement through query.sql or the command line; its rows."""
    def with_head(statement, parameters):
        return "".join(f"-- ${number} = {json.dumps(value)}\n"
                       for number, value in enumerate(parameters, 1)) + statement

    def through_file(statement, *parameters):
        path = searchable.at("query.sql")
        files.write(path, with_head(statement, parameters).encode())
        return json.loads(files.read(path))

    def through_command(statement, *parameters):
        if all(isinstance(value, str) for value in parameters):
            ran = searchable.backend.command("query", statement, *parameters)
        else:
            text = with_head(statement, parameters)
            ran = searchable.backend.command("query", "-", stdin=text.encode())
        return json.loads(ran.ok().out)

    return through_file if request.param == "file" else through_command


@pytest.mark.parametrize("statement, name", [(SIMILAR, "similarity"), (SCORED, "score")])
def test_vector_search_is_best_first(ask, statement, name):
    """Specification, Querying and Search examples."""
    rows = ask(statement, "{5,1,0}")
    assert len(rows) == 10
    assert rows[0] == {"id": 5, "text": "text 5", name: 1}
    scores = [row[name] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert {row["id"] for row in rows} >= {4, 5, 6, 7}


def test_a_vector_may_be_given_as_an_array(ask):
    """Queries: an array of numbers is a PostgreSQL array."""
    assert ask(SCORED, [5, 1, 0])[0]["id"] == 5


def test_multi_vector_search_is_best_first(ask, searchable):
    """Specification, the <#> operator: FLOAT4[][], MaxSim."""
    searchable.sql("CREATE TABLE IF NOT EXISTS pages (id int, embedding embedding_2d)")
    searchable.sql("TRUNCATE pages")
    searchable.sql("INSERT INTO pages VALUES (1, '{{1,0},{0,1}}'), (2, '{{1,0},{1,0}}'),"
                   " (3, '{{-1,0},{0,-1}}')")
    rows = ask("SELECT id, embedding <#> $1::float4[] AS score FROM pages"
               " ORDER BY score DESC LIMIT 10", "{{1,0},{0,1}}")
    assert rows == [{"id": 1, "score": 2}, {"id": 2, "score": 1}, {"id": 3, "score": 0}]


def test_statements_of_client_query(ask):
    """Specification, client.query()."""
    assert len(ask("SELECT * FROM videos LIMIT 10")) == 10
    assert [row["id"] for row in ask("SELECT * FROM documents WHERE file_id = $1", "abc")] == [
        42, 44]
    assert ask("SELECT COUNT(*) as count FROM videos") == [{"count": 20}]
    found = ask("\nSELECT * FROM documents\nWHERE text LIKE '%important keyword%';\n")
    assert [row["id"] for row in found] == [42]


def test_statements_that_change_rows(ask, searchable):
    """Specification, client.query(): DELETE, UPDATE, INSERT … RETURNING."""
    searchable.sql("INSERT INTO documents (file_id) VALUES ('gone-1')")
    ask("DELETE FROM documents WHERE file_id = $1", "gone-1")
    assert searchable.sql("SELECT 1 FROM documents WHERE file_id = 'gone-1'") == []
    searchable.sql("UPDATE documents SET metadata = NULL")
    ask("""UPDATE documents SET metadata = '{"reviewed": true}'::jsonb WHERE id = 42""")
    assert searchable.sql("SELECT id FROM documents WHERE metadata IS NOT NULL") == [(42,)]
    rows = ask("INSERT INTO documents (title, content) VALUES ($1, $2) RETURNING id",
               "New doc", "Content here")
    assert searchable.sql("SELECT title, content FROM documents WHERE id = %s",
                          rows[0]["id"]) == [("New doc", "Content here")]


def test_contains_and_the_types_are_at_hand(ask):
    """Search: objects of the schema public need no qualification."""
    assert ask("SELECT id FROM documents WHERE contains(text, $1) ORDER BY id",
               "important") == [{"id": 42}]
    assert ask("SELECT id FROM documents WHERE text @> 'third'") == [{"id": 44}]
    assert ask("SELECT (deeplake_hybrid_record($1::float4[], $2, 0.7, 0.3)).text_weight AS w",
               "{1,0}", "words") == [{"w": 0.3}]
    assert ask("SELECT '7'::class_label AS label, pg_typeof('{1}'::embedding)::text AS type") == [
        {"label": 7, "type": "embedding"}]


def test_the_indexes_of_the_specification_are_made(ask, searchable):
    """Specification, Index creation."""
    for statement in ("CREATE INDEX ON documents USING deeplake_index (embedding);",
                      "CREATE INDEX ON documents USING deeplake_index (text)\n"
                      "WITH (index_type = 'bm25');",
                      "CREATE INDEX ON documents USING deeplake_index (category)\n"
                      "WITH (index_type = 'exact_text');"):
        assert ask(statement) == []
    made = searchable.sql("""SELECT i.relname, pg_get_indexdef(i.oid) FROM pg_class i
        JOIN pg_am m ON m.oid = i.relam WHERE m.amname = 'deeplake_index'""")
    assert len(made) == 3
    shown = os.listdir(searchable.at("documents", "indexes"))
    for name, _ in made:
        assert name in shown
        searchable.sql(f'DROP INDEX "{name}"')


@pytest.fixture
def articles(searchable):
    """Ten documents with a bm25 index; one of them is about neural networks twice over."""
    searchable.sql("DROP TABLE IF EXISTS articles")
    searchable.sql("CREATE TABLE articles (id int PRIMARY KEY, text text, embedding float4[])")
    words = ["neural networks learn; neural networks forget", "networks of rivers",
             "machine learning", "machine tools", "a garden"]
    for number in range(10):
        searchable.sql("INSERT INTO articles VALUES (%s, %s, %s::float4[])", number,
                       words[number] if number < len(words) else f"words of chapter {number}",
                       [1, number, 0])
    searchable.sql("CREATE INDEX ON articles USING deeplake_index (text)"
                   " WITH (index_type = 'bm25')")
    return searchable


TEXT = """
    SELECT id, text, text <#> $1 AS score
    FROM articles
    ORDER BY score DESC LIMIT 10
"""
HYBRID = """
    SELECT id, text,
           (embedding, text)::deeplake_hybrid_record <#>
           deeplake_hybrid_record($1::float4[], $2, 0.7, 0.3) AS score
    FROM articles
    ORDER BY score DESC LIMIT 10
"""


def test_keyword_search_is_best_first(articles, ask):
    """Specification, Search examples: BM25."""
    rows = ask(TEXT, "neural networks")
    assert len(rows) == 10
    assert [row["id"] for row in rows[:2]] == [0, 1]
    assert rows[0]["score"] > rows[1]["score"] > 0
    assert [row["score"] for row in rows[2:]] == [0] * 8


def test_hybrid_search_is_best_first(articles, ask):
    """Specification, Querying and Search examples: hybrid."""
    rows = ask(HYBRID, "{1,0,0}", "neural networks")
    assert len(rows) == 10
    assert rows[0]["id"] == 0
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    # Two softmaxes, weighted 0.7 and 0.3: each sums to 1 over all rows.
    assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_words_are_searched_with_files_alone(searchable):
    """README, A tour: an index is a folder, a search is a file."""
    zone = searchable.zone("notes")
    os.mkdir(zone)
    files.write(os.path.join(zone, "salt.txt"), b"A lake without an outflow grows salty.\n")
    files.write(os.path.join(zone, "reeds.txt"), b"Reeds grow along the shore.\n")
    os.mkdir(searchable.at("notes", "indexes", "text.bm25"))
    path = searchable.at("notes", "search.sql")
    files.write(path, b"SELECT text, text <#> 'salty lake' AS score FROM notes"
                      b" ORDER BY score DESC LIMIT 3\n")
    rows = json.loads(files.read(path))
    assert [row["text"].split()[0] for row in rows] == ["A", "Reeds"]
    assert rows[0]["score"] > 0 and rows[1]["score"] == 0


def test_a_wrong_vector_is_told_with_both_lengths(searchable):
    """Queries: the server's reason, in the command and in errors.jsonl."""
    ran = searchable.backend.command("query", SCORED, "{1,2}")
    assert ran.code != 0
    assert "3 elements on the left, 2 on the right" in ran.err


def test_options_of_a_drop_zone_make_what_search_needs(searchable):
    """Ingest, Indexes of a drop zone: columns of the schema's types, and an index of each."""
    zone = searchable.zone("labelled")
    os.mkdir(zone)
    files.write(os.path.join(zone, ".ingest.json"), json.dumps({
        "format": "rows", "schema": {"label": "CLASS_LABEL", "embedding": "EMBEDDING"},
        "index": ["text", "embedding"]}))
    rows = [{"text": f"part {number}", "label": number, "embedding": [1, number]}
            for number in range(5)]
    files.write(os.path.join(zone, "rows.jsonl"),
                "".join(json.dumps(row) + "\n" for row in rows))
    found = columns(searchable, "labelled")
    assert (found["label"], found["embedding"]) == ("class_label", "real[]")
    assert [name for name in sorted(os.listdir(searchable.at("labelled", "indexes")))
            if "." in name] == ["embedding.embedding_index", "text.bm25"]
    path = searchable.at("labelled", "near.sql")
    files.write(path, "SELECT label FROM labelled ORDER BY embedding <#> '{1,3}' DESC LIMIT 1")
    assert json.loads(files.read(path)) == [{"label": 3}]
    files.write(path, "SELECT label FROM labelled ORDER BY text <#> '2' DESC LIMIT 1")
    assert json.loads(files.read(path)) == [{"label": 2}]
