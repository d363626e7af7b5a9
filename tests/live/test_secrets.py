# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Access: no error, log or file shows a password."""

import os
import subprocess
import urllib.parse

import pytest

from support import files
from support.mount import Backend, Mount, environment, is_mounted, program, run
from support.postgres import children

# Every piece of it that some parser could cut out has the word.
WORD = "s3ntinel"
PASSWORD = f"{WORD} p@{WORD}/{WORD}:{WORD}%'\\{WORD}"
USER = "keeper"


def quoted(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@pytest.fixture(scope="module")
def guarded(postgres):
    """A database of a role that must give its password."""
    dsn = postgres.create_database("guarded")
    connection = postgres.connect("guarded")
    cursor = connection.cursor()
    cursor.execute("SET password_encryption = 'scram-sha-256'")
    cursor.execute(f"CREATE ROLE {USER} LOGIN PASSWORD %s", (PASSWORD,))
    cursor.execute(f"GRANT CREATE ON DATABASE guarded TO {USER}")
    rules = os.path.join(postgres.data, "pg_hba.conf")
    with open(rules, encoding="utf-8") as present:
        former = present.read()
    with open(rules, "w", encoding="utf-8") as changed:
        changed.write(f"local all {USER} scram-sha-256\n" + former)
    cursor.execute("SELECT pg_reload_conf()")
    connection.close()
    yield dsn
    with open(rules, "w", encoding="utf-8") as changed:
        changed.write(former)


def uri(postgres, password=PASSWORD, database="guarded"):
    secret = urllib.parse.quote(password, safe="")
    host = urllib.parse.quote(postgres.socket_dir, safe="")
    return f"postgresql://{USER}:{secret}@/{database}?host={host}"


def keywords(postgres, password=PASSWORD):
    return (f"host={postgres.socket_dir} user={USER} dbname=guarded "
            f"password={quoted(password)}")


def write_secret(path, text):
    files.write(path, text.encode())
    os.chmod(path, 0o600)
    return path


def given_by_passfile(postgres, work):
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    path = write_secret(os.path.join(work, "pgpass"), f"*:*:*:{USER}:{escaped}\n")
    return {"DEEPLAKE_DSN": f"host={postgres.socket_dir} user={USER} dbname=guarded",
            "PGPASSFILE": path}, []


def given_by_config(postgres, work):
    path = write_secret(os.path.join(work, "config"),
                        f"[deeplakefs]\ndsn = {uri(postgres)}\n")
    return {}, ["--config", path]


WAYS = {
    "uri": lambda postgres, work: ({"DEEPLAKE_DSN": uri(postgres)}, []),
    "keywords": lambda postgres, work: ({"DEEPLAKE_DSN": keywords(postgres)}, []),
    "PGPASSWORD": lambda postgres, work: (
        {"DEEPLAKE_DSN": f"host={postgres.socket_dir} user={USER} dbname=guarded",
         "PGPASSWORD": PASSWORD}, []),
    "PGPASSFILE": given_by_passfile,
    "configuration": given_by_config,
}


def all_below(folder, but=()):
    """Path and bytes of every file below folder."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if os.path.isfile(path) and not any(part in path for part in but):
                yield path, files.read(path)


def command_lines():
    """The arguments of every process but ours."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                yield f"/proc/{entry}/cmdline", files.read(f"/proc/{entry}/cmdline")
            except OSError:
                pass


def shown(mount, but=()):
    """All that a mount lets be seen: names and bytes."""
    for name in os.listdir(mount.at(".deeplake")):
        yield name, files.read(mount.at(".deeplake", name))
    for path, text in all_below(mount.backend.folder, (mount.path, *but)):
        yield path, text
    yield from command_lines()
    yield "/proc/mounts", files.read("/proc/mounts")


def assert_unseen(texts):
    """None of (name, bytes) shows the word; and they were looked at."""
    n_looked_at = 0
    for name, text in texts:
        assert WORD.encode() not in text, f"{name}: {text[-2000:]!r}"
        n_looked_at += 1
    assert n_looked_at > 0


@pytest.mark.parametrize("way", WAYS)
def test_a_mount_does_not_show_the_password_that_it_uses(guarded, postgres, work, table, way):
    """Access: in log, control files, reasons, registry, arguments or the table of mounts."""
    env, options = WAYS[way](postgres, work)
    backend = Backend("external", verify_dsn=guarded)
    one = Mount(backend, "guarded", options=options + ["--log-level", "debug"], env=env)
    try:
        one.start()
        os.mkdir(one.zone(table))
        files.write(one.zone(table, "a.txt"), b"x")
        with pytest.raises(OSError):
            files.write(one.zone(table, "bad.txt"), b"\0")
        with pytest.raises(OSError):
            files.write(one.at("wrong.sql"), b"SELECT * FROM missing")
        with pytest.raises(OSError):
            files.write(one.at("refused.sql"), b"CREATE ROLE other SUPERUSER")
        backend.connect().cursor().execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'")
        assert files.read(one.at("query.sql"))
        status = program("status", "--state-dir", backend.state_dir, env=one.env)
        reasons = [("bad.txt.error", files.read(one.zone(table, "bad.txt.error")))]
        assert_unseen([*shown(one), *reasons, ("status", status.ok().out_bytes)])
        one.umount().ok()
        assert_unseen(all_below(backend.folder))
    finally:
        one.teardown()
        backend.destroy()


def mistaken(postgres):
    """What people write who do not know of percent-encoding or of quotes, and worse."""
    host = postgres.socket_dir
    return {
        "wrong password": uri(postgres, PASSWORD + "x"),
        "wrong database": uri(postgres, database="missing"),
        "at sign": f"postgresql://{USER}:{WORD}@{WORD}@localhost:1/guarded",
        "at sign and colon": f"postgresql://{USER}:p@{WORD}:{WORD}@localhost:1/guarded",
        "slash": f"postgresql://{USER}:{WORD}/{WORD}@localhost:1/guarded",
        "slash and port": f"postgresql://{USER}:1/{WORD}@localhost:1/guarded",
        "question mark": f"postgresql://{USER}:{WORD}?{WORD}@localhost:1/guarded",
        "question mark and equals": f"postgresql://{USER}:p?host={WORD}@localhost:1/guarded",
        "percent": f"postgresql://{USER}:%{WORD}@localhost:1/guarded",
        "bracket": f"postgresql://{USER}:[{WORD}@localhost:1/guarded",
        "bracket host": f"postgresql://{USER}:{WORD}@[{WORD}/guarded",
        "no scheme": f"{USER}:{WORD}@localhost:1/guarded",
        "other scheme": f"psql://{USER}:{WORD}@localhost:1/guarded",
        "spaces": f"host={host} user={USER} password={WORD} {WORD}",
        "spaces and equals": f"host={host} user={USER} password={WORD} x={WORD}",
        "unclosed quote": f"host={host} user={USER} password='{WORD}",
        "run together": f"host={host} user={USER} port=5432password={WORD}",
        "semicolons": f"host={host};port=1;user={USER};password={WORD}",
        "commas": f"host=localhost,port=1,user={USER},password={WORD}",
        "newline": f"host={host} user={USER} port=1\npassword={WORD}",
        "key": f"host={host} user={USER} sslpassword={WORD} sslmode=wrong",
        "not UTF-8": f"host={host} user={USER} port=x\udcff password={WORD}",
    }


MISTAKES = list(mistaken(type("Nowhere", (), {"socket_dir": "/nowhere"})))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_dsn_is_told_without_it(guarded, postgres, work, name):
    """Access: whatever libpq says of it."""
    dsn = mistaken(postgres)[name]
    mountpoint = os.path.join(work, "mnt")
    os.mkdir(mountpoint)
    config = write_secret(os.path.join(work, "config"), "")
    with open(config, "wb") as text:
        text.write(os.fsencode("[deeplakefs]\ndsn = " + dsn.replace("\n", " ") + "\n"))
    state = ["--state-dir", os.path.join(work, "state"), "--connect-timeout", "2s"]
    for arguments, env in (
            (["tables", *state], {"DEEPLAKE_DSN": dsn}),
            (["query", *state, "SELECT 1"], {"DEEPLAKE_DSN": dsn}),
            (["mount", *state, mountpoint], {"DEEPLAKE_DSN": dsn}),
            (["tables", *state, "--config", config], {})):
        ran = program(*arguments, env=environment(**env))
        assert ran.code != 0, ran
        assert ran.err.strip(), "no reason was given"
        assert_unseen([("stdout", ran.out_bytes), ("stderr", ran.err_bytes)])
    assert not is_mounted(mountpoint)
    assert_unseen([("none", b""), *all_below(os.path.join(work, "state"))])


@pytest.mark.parametrize("arguments", [
    ["tables", "--dsn", f"postgresql://u:{WORD}@h/db"],
    ["tables", "--dsn", f"postgresql://u:p,{WORD}@h/db"],
    ["tables", "-o", f"dsn=postgresql://u:p,{WORD}@h/db"],
    ["tables", "-o", f"dsn=host=h,password={WORD}"],
    ["tables", "-o", f"dsn=host=h password=a,{WORD}"],
    ["tables", f"-odsn=postgresql://u:{WORD}@h/db"],
    ["tables", f"--dsn=postgresql://u:{WORD}@h/db"],
    ["tables", f"--dns=postgresql://u:{WORD}@h/db"],
    ["tables", f"--postgresql://u:{WORD}@h/db"],
    ["tables", f"postgresql://u:{WORD}@h/db"],
    ["tables", f"--password={WORD}"],
    ["tables", "--password", WORD],
    ["tables", f"-p{WORD}"],
    ["tables", f"--workspace=postgresql://u:{WORD}@h/db"],
    [f"postgresql://u:{WORD}@h/db", "/mnt"],
    ["mount", f"postgresql://u:{WORD}@h/db", "/nowhere/mnt"],
    ["mount", f"host=h password={WORD}", "/nowhere/mnt"],
    ["mount", "-o", f"password={WORD}", "/nowhere/mnt"],
    ["mount", f"postgresql://u:{WORD}@h/db", "MOUNTPOINT"],
    ["mount", f"host=h password={WORD}", "MOUNTPOINT"],
    ["mount", "-o", f"pool_size=password={WORD}", "/nowhere/mnt"],
])
def test_a_mistake_in_the_arguments_is_told_without_it(work, arguments):
    """Access: the arguments may be seen by all, the log for longer."""
    mountpoint = os.path.join(work, "mnt")
    os.mkdir(mountpoint)
    arguments = [mountpoint if part == "MOUNTPOINT" else part for part in arguments]
    ran = program(*arguments, "--state-dir", os.path.join(work, "state"))
    assert ran.code != 0, ran
    assert ran.err.strip(), "no reason was given"
    assert_unseen([("stdout", ran.out_bytes), ("stderr", ran.err_bytes)])


@pytest.mark.parametrize("statement", [
    "ALTER ROLE nobody_here PASSWORD '{word}'",
    "CREATE ROLE pg_reserved PASSWORD '{word}'",
    "CREATE USER MAPPING FOR PUBLIC SERVER missing OPTIONS (password '{word}')",
    "SELECT 1 / 0, '{word}'",
    "SELECT missing('{word}')",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE nobody_here PASSWORD ''{word}'''; END $$",
    "-- $1 = \"{word}\"\nSELECT 1 / (length($1) - length($1))",
])
def test_what_a_failed_statement_holds_is_not_repeated(mount, table, statement):
    """Access: the reason is what the server says, and the statement is in no log."""
    with pytest.raises(OSError):
        files.write(mount.at(f"{table}.sql"), statement.format(word=WORD).encode())
    answer = run("cat", mount.at(f"{table}.sql"))
    assert answer.code != 0 and "error" in answer.out
    try:
        assert_unseen([("answer", answer.out_bytes),
                       *shown(mount, but=("/queries/", "/server/data/"))])
    finally:
        os.unlink(mount.at(f"{table}.sql"))


def test_the_private_server_does_not_inherit_secrets(fresh_backend):
    """Access: neither its environment nor that of its processes."""
    backend = fresh_backend("embedded")
    one = Mount(backend, env={"PGPASSWORD": WORD, "DEEPLAKE_TOKEN": WORD,
                              "PGPASSFILE": f"/nowhere/{WORD}"}).start()
    pid = int(files.read(os.path.join(backend.state_dir, "server", "data", "postmaster.pid"))
              .split()[0])
    processes = [pid, *children(pid)]
    assert len(processes) > 1
    assert_unseen([(f"environment of {one_of}", files.read(f"/proc/{one_of}/environ"))
                   for one_of in processes])
    assert_unseen(shown(one))


TOKEN = f"eyJhbGciOiJub25lIn0.eyJPcmdJRCI6Im8ifQ.{WORD}"


def test_no_process_of_a_mount_has_the_token_in_its_environment(fresh_backend):
    """Access: the variable is gone from the daemon, and from who waited for it."""
    backend = fresh_backend("external")
    one = Mount(backend, env={"DEEPLAKE_API_KEY": TOKEN, "LAKE_TEST": "is here"}).start()
    environ = files.read(f"/proc/{one.daemon_pid}/environ")
    assert b"LAKE_TEST=is here" in environ
    assert_unseen([("environment of the daemon", environ),
                   *[(f"environment of {pid}", files.read(f"/proc/{pid}/environ"))
                     for pid in children(one.daemon_pid)],
                   *command_lines(), *shown(one)])


@pytest.mark.parametrize("arguments", [
    ["--token", TOKEN], [f"--token={TOKEN}"], ["-o", f"token={TOKEN}"], ["--token-file", TOKEN],
    ["--api-key", WORD], ["--api-url", f"https://me:{WORD}@host"]])
def test_a_token_on_the_command_line_is_refused_unrepeated(work, arguments):
    """Command line: secrets by file or environment, never argv."""
    ran = program("tables", "--state-dir", work + "/s", *arguments)
    assert ran.code == 1
    assert "token" in ran.err
    assert_unseen([("output", ran.out_bytes), ("errors", ran.err_bytes)])
    assert not os.path.exists(work + "/s")


def test_a_token_in_the_configuration_is_refused_unrepeated(work):
    """Command line: the file may be everybody's to read."""
    config = write_secret(os.path.join(work, "config"), f"[deeplakefs]\ntoken = {TOKEN}\n")
    ran = program("tables", "--config", config, "--state-dir", work + "/s")
    assert ran.code == 1
    assert "DEEPLAKE_API_KEY" in ran.err and "--token-file" in ran.err
    assert_unseen([("errors", ran.err_bytes)])


def test_others_cannot_read_the_state_folder(mount):
    """Access: log, saved queries and staging are for the owner."""
    state = mount.backend.state_dir
    for name in ("deeplakefs.log", "queries", "spool"):
        path = os.path.join(state, name)
        assert os.path.exists(path)
        assert os.stat(path).st_mode & 0o077 == 0, name
    ran = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat",
                          os.path.join(state, "deeplakefs.log")], check=False,
                         capture_output=True)
    assert ran.returncode != 0
