# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Queries: what every tool makes of a result of exactly 300,003 bytes.

Not a multiple of a page, of a kernel's request or of any tool's buffer: a wrong size shows.
"""

import hashlib
import json
import mmap
import os
import shutil

import pytest

from support import files
from support.mount import run, shell

SIZE = 300_003
N_ROWS = 1000
# [{"n":…,"text":"…"},\n {…}]\n: 2 and 3 bytes around 1000 objects, ",\n " between them.
SQL = f"""
WITH rows AS (SELECT n, 'row ' || n || ' ' AS head FROM generate_series(1, {N_ROWS}) n),
sizes AS (SELECT n, head, octet_length(format('{{"n":%s,"text":"%s"}}', n, head)) AS n_bytes
          FROM rows),
whole AS (SELECT sum(n_bytes) + 3 * ({N_ROWS} - 1) + 3 AS n_bytes FROM sizes)
SELECT n, head || repeat(chr(97 + n % 26), (({SIZE} - whole.n_bytes) / {N_ROWS})::int +
    CASE WHEN n <= ({SIZE} - whole.n_bytes) % {N_ROWS} THEN 1 ELSE 0 END) AS text
FROM sizes, whole ORDER BY n"""


@pytest.fixture(scope="module")
def expected(shared_mount):
    """The bytes, put together from what the server says without the program."""
    rows = shared_mount.sql(SQL)
    text = ",\n ".join(json.dumps({"n": n, "text": text}, separators=(",", ":"))
                       for n, text in rows)
    made = f"[{text}]\n".encode()
    assert len(made) == SIZE
    return made


@pytest.fixture
def path(mount, table, expected):
    """A query that was defined and not read yet."""
    made = mount.at(f"{table}.sql")
    files.write(made, SQL)
    yield made
    os.unlink(made)


# Each prints the whole file; $1 is the result, $2 a folder on local disk.
WHOLE = {
    "cat": 'cat "$1"',
    "cat-redirected": 'cat < "$1"',
    "cp": 'cp "$1" "$2/c" && cat "$2/c"',
    "cp-a": 'cp -a "$1" "$2/c" && cat "$2/c"',
    "cp-sparse": 'cp --sparse=always "$1" "$2/c" && cat "$2/c"',
    "install": 'install "$1" "$2/c" && cat "$2/c"',
    "dd": 'dd if="$1" bs=777 status=none',
    "dd-1M": 'dd if="$1" bs=1M status=none',
    "dd-direct": 'dd if="$1" bs=4096 iflag=direct status=none',
    "head-c": 'head -c 1000000 "$1"',
    "head-n": 'head -n 1000 "$1"',
    "tail-c": 'tail -c 1000000 "$1"',
    "tail-n": 'tail -n 1000 "$1"',
    "tail-from": 'tail -c +1 "$1"',
    "tee": 'tee "$2/c" < "$1" > /dev/null && cat "$2/c"',
    "sed": 'sed "" "$1"',
    "awk": 'awk 1 "$1"',
    "grep": 'grep "" "$1"',
    "sort": 'sort -s -k 1,1.0 "$1" > "$2/c" && test -s "$2/c" && cat "$1"',
    "tac": 'tac "$1" | tac',
    "split": 'split -n 7 "$1" "$2/part." && cat "$2"/part.*',
    "gzip": 'gzip -c "$1" | gzip -dc',
    "rsync": 'rsync -a "$1" "$2/c" && cat "$2/c"',
    "rsync-checksum": 'rsync -ac "$1" "$2/c" && cat "$2/c"',
    # tar, and nothing else here, goes by the size from before it opens the file.
    "tar": 'cat "$1" > /dev/null; tar -C "${1%/*}" -c "${1##*/}" | tar -xO',
    "tar-sparse": 'cat "$1" > /dev/null; tar -C "${1%/*}" -cS "${1##*/}" | tar -xO',
    "tar-ustar": 'cat "$1" > /dev/null; tar -C "${1%/*}" --format=ustar -c "${1##*/}" | tar -xO',
    "python-read": "PY sys.stdout.write(open(sys.argv[1]).read())",
    "python-lines": "PY sys.stdout.writelines(open(sys.argv[1]))",
    "python-seek": "PY f = open(sys.argv[1], 'rb'); n = f.seek(0, 2); f.seek(0); "
                   "sys.stdout.buffer.write(f.read(n))",
    "python-pread": "PY f = os.open(sys.argv[1], os.O_RDONLY); "
                    "[sys.stdout.buffer.write(os.pread(f, 1013, at)) "
                    "for at in range(0, os.fstat(f).st_size, 1013)]",
    "sendfile": "PY f = open(sys.argv[1], 'rb'); out = open(sys.argv[2] + '/c', 'wb'); "
                "n = os.fstat(f.fileno()).st_size; "
                "assert os.sendfile(out.fileno(), f.fileno(), 0, n) == n; "
                "sys.stdout.buffer.write(open(sys.argv[2] + '/c', 'rb').read())",
    "python-copyfileobj": "PY f = open(sys.argv[1], 'rb'); out = open(sys.argv[2] + '/c', 'w+b'); "
                       "n = os.fstat(f.fileno()).st_size; "
                       "shutil.copyfileobj(f, out); out.seek(0); "
                       "sys.stdout.buffer.write(out.read(n))",
    "shutil-copyfile": "PY shutil.copyfile(sys.argv[1], sys.argv[2] + '/c'); "
                       "sys.stdout.write(open(sys.argv[2] + '/c').read())",
    "shutil-copy2": "PY shutil.copy2(sys.argv[1], sys.argv[2] + '/c'); "
                    "sys.stdout.write(open(sys.argv[2] + '/c').read())",
    "mmap-shared": "PY f = open(sys.argv[1], 'rb'); "
                   "m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ); "
                   "sys.stdout.buffer.write(m[:])",
    "mmap-private": "PY f = open(sys.argv[1], 'rb'); "
                    "m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ); "
                    "sys.stdout.buffer.write(m[:])",
}
PYTHON = '/usr/bin/python3 -c "import mmap, os, shutil, sys; {}" "$1" "$2"'


@pytest.mark.parametrize("tool", WHOLE)
def test_the_tool_gets_every_byte(path, expected, work, tool):
    """Queries: from open on the size is exact, so that every tool works."""
    script = WHOLE[tool]
    if script.startswith("PY "):
        script = PYTHON.format(script[3:])
    ran = shell("set -e -o pipefail; " + script, path, work).ok()
    assert ran.out_bytes == expected


# Each prints one word about the file.
FACTS = {
    "wc-c": ('wc -c < "$1"', lambda data: len(data)),
    "wc-c-by-name": ('wc -c "$1" | cut -d " " -f 1', lambda data: len(data)),
    "wc-l": ('wc -l < "$1"', lambda data: data.count(b"\n")),
    "grep-c": ('grep -c "row 99" "$1"', lambda data: sum(
        b"row 99" in line for line in data.splitlines())),
    "sha256sum": ('sha256sum "$1" | cut -d " " -f 1',
                  lambda data: hashlib.sha256(data).hexdigest()),
    "md5sum": ('md5sum < "$1" | cut -d " " -f 1', lambda data: hashlib.md5(data).hexdigest()),
    "cksum": ('cksum "$1" | cut -d " " -f 2', lambda data: len(data)),
    "jq": ('jq length "$1"', lambda data: len(json.loads(data))),
    "jq-last": ('jq ".[-1].n" "$1"', lambda data: N_ROWS),
    "python-json": ('/usr/bin/python3 -c "import json, sys; '
                    'print(len(json.load(open(sys.argv[1]))))" "$1"', lambda data: N_ROWS),
    "node": ("""node -e 'console.log(JSON.parse(require("fs").readFileSync("'"$1"'"))"""
             ".length)'", lambda data: N_ROWS),
    "rg": ('rg -c "row 99" "$1"', lambda data: sum(
        b"row 99" in line for line in data.splitlines())),
    "cmp": ('cat "$1" > "$2/c" && cmp "$1" "$2/c" && echo same', lambda data: "same"),
    "diff": ('cat "$1" > "$2/c" && diff "$1" "$2/c" && echo same', lambda data: "same"),
    "head-1": ('head -c 1 "$1"', lambda data: "["),
    "tail-1": ('tail -c 2 "$1"', lambda data: "]"),
    "git": ('git hash-object "$1"', lambda data: hashlib.sha1(
        b"blob %d\0" % len(data) + data).hexdigest()),
}


@pytest.mark.parametrize("tool", FACTS)
def test_the_tool_says_what_is_true(path, expected, work, tool):
    """Queries: the same, for tools that say something about the file."""
    script, truth = FACTS[tool]
    program = script.split()[0]
    if not shutil.which(program):
        pytest.skip(f"no {program}")
    assert shell("set -e -o pipefail; " + script, path, work).ok().out.strip() == \
        str(truth(expected))


# What trusts stat before it opens: right from the first read on.
BEFORE = {
    "stat": ('stat -c %s "$1"', str(SIZE)),
    "ls": ('ls -l "$1" | tr -s " " | cut -d " " -f 5', str(SIZE)),
    "find-size": ('find "$1" -size 300003c | wc -l', "1"),
    "test-s": ('test -s "$1" && echo filled', "filled"),
    "du": ('du -b "$1" | cut -f 1', str(SIZE)),
    "blocks": ('test "$(stat -c %b "$1")" -ge 586 && echo enough', "enough"),
    "file": ('file -b "$1"', "JSON text data"),
}


@pytest.mark.parametrize("tool", BEFORE)
def test_a_tool_that_only_stats_sees_the_size_of_the_last_result(path, tool):
    """Queries: before open, stat shows the size of the last result."""
    script, truth = BEFORE[tool]
    if not shutil.which(script.split()[0]):
        pytest.skip(f"no {script.split()[0]}")
    assert os.stat(path).st_size == 0, "nobody has read it yet"
    run("cat", path).ok()
    assert shell("set -o pipefail; " + script, path).ok().out.strip() == truth


def test_the_size_changes_with_the_result(path):
    """Queries: the size of the last result, and from open on that of this one."""
    assert len(files.read(path)) == SIZE
    files.write(path, "SELECT 1 AS one")
    with open(path, "rb") as file:
        assert os.fstat(file.fileno()).st_size == len(b'[{"one":1}]\n')
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == b'[{"one":1}]\n'
    assert os.stat(path).st_size == len(b'[{"one":1}]\n')
