# SPDX-License-Identifier: Apache-2.0
"""How often the service is asked, where every request takes long: fs/SEMANTICS.md promises files,
and nobody would wait for one request after the other."""

import os

import pytest

from support import files

N_FILES = 600


@pytest.fixture
def over_service(fresh_backend):
    return fresh_backend("service")


def ingest(backend, folder, table, n_there=0):
    if not folder.exists():
        files.tree(str(folder), N_FILES, seed=7)
    backend.service.forget_requests()
    backend.command("ingest", table, f"{folder}/.").ok()
    with backend.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f'SELECT count(DISTINCT file_id) FROM live."{table}"')
        assert cursor.fetchone()[0] == N_FILES + n_there
    return [request for request in backend.service.requests if request.statement]


def test_many_files_share_few_requests(over_service, tmp_path):
    """"Ingest": a table that is made for them, and six hundred files."""
    over_service.service.latency = 0.05
    requests = ingest(over_service, tmp_path / "files", "shared")

    inserting = [one for one in requests if "WITH entry" in one.statement]
    assert len(inserting) < N_FILES / 4
    assert len(requests) - len(inserting) < 60, [one.statement[:80] for one in requests]


def test_files_that_are_there_already_share_requests_too(over_service, tmp_path):
    """"Ingest": the same tree again, with other times and one file less on the server."""
    folder = tmp_path / "files"
    over_service.service.latency = 0.05
    ingest(over_service, folder, "again")
    with over_service.connect() as connection, connection.cursor() as cursor:
        cursor.execute('SELECT min(file_id) FROM live.again')
        gone = cursor.fetchone()
        cursor.execute('DELETE FROM live.again WHERE file_id = %s', gone)
    for path in folder.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))

    requests = ingest(over_service, folder, "again")
    assert len(requests) < N_FILES / 4, [one.statement[:80] for one in requests]
    with over_service.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT mtime_ns), count(*) FROM live.deeplakefs_ledger "
                       "WHERE table_name = 'again' AND kind <> 'folder'")
        assert cursor.fetchone() == (1, N_FILES)


def test_folders_share_a_request(over_service, tmp_path):
    """"Ingest": a tree of many folders, of which some are empty; again with more."""
    over_service.service.latency = 0.05
    folder = tmp_path / "tree"
    for number in range(200):
        files.write(str(folder / f"class{number:03}" / "one.txt"), f"text {number}".encode())
        (folder / f"class{number:03}" / "empty").mkdir()

    def paths():
        with over_service.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT path FROM live.deeplakefs_ledger "
                           "WHERE table_name = 'classes' AND kind = 'folder' AND path <> ''")
            return {row[0] for row in cursor.fetchall()}

    def n_requests():
        over_service.service.forget_requests()
        over_service.command("ingest", "classes", f"{folder}/.").ok()
        return len([one for one in over_service.service.requests if one.statement])

    assert n_requests() < 80
    expected = {f"class{number:03}" for number in range(200)}
    expected |= {f"{name}/empty" for name in expected}
    assert paths() == expected
    (folder / "class000" / "later").mkdir()
    os.chmod(folder / "class001", 0o700)
    assert n_requests() < 40
    assert paths() == expected | {"class000/later"}


def test_options_are_asked_for_by_one(over_service, tmp_path):
    """"Ingest options": a hundred files at once, and what they say is asked for twice a
    second."""
    over_service.service.latency = 0.1
    requests = ingest(over_service, tmp_path / "files", "optional")

    asking = [one for one in requests if "SELECT options" in one.statement]
    seconds = requests[-1].started - requests[0].started
    assert 0 < len(asking) <= 2 + 2 * seconds + 1
    assert not [one for one in requests
                if "count(*)" in one.statement and "options" in one.statement]


def test_options_do_not_wait_for_files(over_service, tmp_path):
    """"Ingest options": files that were just copied change none, so nobody waits until they are
    seen by all of the service."""
    one = files.write(str(tmp_path / "one.txt"), b"it makes the table")
    over_service.command("ingest", "unhindered", one).ok()
    over_service.read_lag = "4s"
    over_service.service.latency = 0.2
    requests = ingest(over_service, tmp_path / "files", "unhindered", n_there=1)

    times = [one.started for one in requests if "WITH entry" in one.statement]
    assert len(times) > 5
    assert times[-1] - times[0] > 0.6, "it was over before the options had to be asked again"
    assert max(after - before for before, after in zip(times, times[1:])) < 3.5
