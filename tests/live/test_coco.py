# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Panoptic data sets: the option format "coco_panoptic"."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess

import pytest

from support import files
from support.mount import environment, run, wait_for
from support.panoptic import CATEGORIES, DataSet

COLUMNS = ("image_id", "image", "mask", "width", "height", "filename", "segments_info",
           "categories")
NOBODY = 65534


def put_options(zone, options):
    files.write(os.path.join(zone, ".ingest.json"), json.dumps(options))


@pytest.fixture
def data(work):
    return DataSet(work)


@pytest.fixture
def coco_zone(zone, data):
    """A drop zone that takes the annotations of data."""
    put_options(zone, data.options())
    return zone


def rows(mount, table):
    return [(image_id, bytes(image), bytes(mask), width, height, name, json.loads(segments),
             json.loads(categories))
            for image_id, image, mask, width, height, name, segments, categories in mount.sql(
                f'SELECT {", ".join(COLUMNS)} FROM "{mount.workspace}"."{table}" ORDER BY id')]


def copy(data, zone):
    return run("cp", data.path, zone)


def refusal_of(data, zone, what="Invalid argument"):
    """What <name>.error says once the annotations were refused."""
    ran = copy(data, zone)
    assert ran.code != 0 and what in ran.err, ran
    return files.read(os.path.join(zone, os.path.basename(data.path) + ".error")).decode()


def option_refusal_of(zone, options, code=errno.EINVAL):
    """What .ingest.json.error says."""
    with pytest.raises(OSError) as refusal:
        put_options(zone, options)
    assert refusal.value.errno == code
    return files.read(os.path.join(zone, ".ingest.json.error")).decode()


def assert_nothing(mount, table):
    assert not mount.table_exists(table) or mount.n_rows(table) == 0
    assert [path for path in mount.ledger_paths(table) if path != ".ingest.json"] == []


def test_each_annotation_is_a_row(mount, table, coco_zone, data):
    """Panoptic data sets: columns, their order and types; values as they are in the files."""
    copy(data, coco_zone).ok()
    assert rows(mount, table) == data.rows
    schema = json.loads(files.read(mount.at(table, "schema.json")))
    schema = schema if isinstance(schema, list) else schema["columns"]
    assert [one["name"] for one in schema] == ["id", "file_id", *COLUMNS]
    types = {one["name"]: one["sql_type"].rpartition(".")[2] for one in schema}
    assert {name: types[name] for name in COLUMNS if name not in ("image", "mask")} == {
        "image_id": "bigint", "width": "bigint", "height": "bigint", "filename": "text",
        "segments_info": "text", "categories": "text"}
    assert types["image"] in ("image", "bytea") and types["mask"] in ("segment_mask", "bytea")
    entry = mount.ledger(table, "panoptic_train2017.json")
    assert (entry["kind"], entry["n_rows"]) == ("coco_panoptic", 3)
    assert entry["settings"] == data.options()
    assert entry["content_hash"] == files.sha256(files.read(data.path))
    assert os.getxattr(os.path.join(coco_zone, "panoptic_train2017.json"),
                       "user.deeplake.kind") == b"coco_panoptic"


def test_the_query_of_the_specification(mount, table, coco_zone, data):
    """Panoptic data sets: json.loads(row["segments_info"])."""
    copy(data, coco_zone).ok()
    files.write(mount.at("panoptic.sql"),
                f"SELECT image_id, filename, segments_info\nFROM {table}\nLIMIT 10\n")
    found = json.loads(files.read(mount.at("panoptic.json")))
    assert sorted((row["filename"], len(json.loads(row["segments_info"]))) for row in found) == \
        [("000000000009.jpg", 0), ("000000000018.jpg", 1), ("000000000027.jpg", 2)]
    os.remove(mount.at("panoptic.sql"))


def test_the_command_with_relative_folders(backend, mount, table, data, work):
    """README.md, Commands: --format coco_panoptic; folders from where it runs."""
    ran = backend.command(
        "ingest", "--format", "coco_panoptic", "--images-dir", "train2017",
        "--masks-dir=./panoptic_train2017", table, "panoptic_train2017.json",
        workspace=mount.workspace, cwd=work).ok()
    assert json.loads(ran.out)["row_count"] == 3
    assert rows(mount, table) == data.rows
    settings = mount.ledger(table, "panoptic_train2017.json")["settings"]
    assert settings["images_dir"] == data.images_dir


@pytest.mark.parametrize("options, words", [
    (["--images-dir", "train2017"], ["masks_dir"]),
    (["--images-dir", "train2017", "--masks-dir", "no"], ["masks_dir", "/no", "No such file"]),
    (["--images-dir", "train2017", "--masks-dir", "panoptic_train2017.json"],
     ["masks_dir", "no folder"]),
])
def test_the_command_tells_a_mistake_first(backend, mount, table, data, work, options, words):
    """Panoptic data sets; README.md, Commands."""
    ran = backend.command("ingest", "--format", "coco_panoptic", *options, table, data.path,
                          workspace=mount.workspace, cwd=work)
    assert ran.code == 1 and all(word in ran.err for word in words), ran
    assert not mount.table_exists(table)


def test_the_command_takes_the_options_of_the_zone(backend, mount, table, coco_zone, data):
    """Options of a drop zone: for deeplakefs ingest too."""
    backend.command("ingest", table, data.path, workspace=mount.workspace).ok()
    assert rows(mount, table) == data.rows


def test_the_same_again_changes_nothing(backend, mount, table, coco_zone, data):
    """Panoptic data sets; Atomic and repeatable: images need not be there any more."""
    copy(data, coco_zone).ok()
    before = mount.sql(f'SELECT id, file_id FROM "{table}" ORDER BY id')
    shutil.rmtree(data.images_dir)
    os.mkdir(data.images_dir)
    copy(data, coco_zone).ok()
    backend.command("ingest", table, data.path, workspace=mount.workspace).ok()
    assert mount.sql(f'SELECT id, file_id FROM "{table}" ORDER BY id') == before


def test_other_content_and_other_folders_replace(mount, table, coco_zone, data, work):
    """Panoptic data sets; Atomic and repeatable."""
    copy(data, coco_zone).ok()
    del data.annotations[0]
    data.write()
    copy(data, coco_zone).ok()
    assert rows(mount, table) == data.rows[1:]
    other = DataSet(os.path.join(work, "other"), seed=1)
    put_options(coco_zone, other.options())
    copy(data, coco_zone).ok()
    assert rows(mount, table) == other.rows[1:]
    data.annotations[1]["file_name"] = "none.png"
    data.write()
    assert "none.png" in refusal_of(data, coco_zone)
    assert rows(mount, table) == other.rows[1:]


def test_reading_it_back_renaming_and_rm(mount, table, coco_zone, data):
    """Panoptic data sets; Afterwards."""
    copy(data, coco_zone).ok()
    path = os.path.join(coco_zone, "panoptic_train2017.json")
    with pytest.raises(PermissionError):
        files.read(path)
    os.rename(path, path + ".old")
    assert mount.ledger(table, "panoptic_train2017.json.old")["kind"] == "coco_panoptic"
    os.remove(path + ".old")
    assert mount.n_rows(table) == 0


def test_images_are_files_of_rows(mount, table, coco_zone, data):
    """Rows; Panoptic data sets: values have their files' bytes."""
    copy(data, coco_zone).ok()
    folder = mount.at(table, "rows", "1")
    names = os.listdir(folder)
    assert "image.jpg" in names and "mask.png" in names
    assert files.read(os.path.join(folder, "image.jpg")) == data.rows[0][1]
    assert files.read(os.path.join(folder, "mask.png")) == data.rows[0][2]


def test_any_other_file_is_refused(mount, table, coco_zone, data):
    """Panoptic data sets: .json files alone."""
    source = os.path.join(data.images_dir, "000000000009.jpg")
    assert "Invalid argument" in run("cp", source, coco_zone).err
    reason = files.read(os.path.join(coco_zone, "000000000009.jpg.error")).decode()
    assert "coco_panoptic" in reason and "images_dir" in reason
    assert_nothing(mount, table)


def cut(data):
    return data.text()[:-40]


def without(name):
    def change(data):
        return json.dumps({key: value for key, value in json.loads(data.text()).items()
                           if key != name})
    return change


def with_entry(which, index, **changes):
    """The annotations with an entry changed; None takes a member out."""
    def change(data):
        text = json.loads(data.text())
        entry = text[which][index]
        for name, value in changes.items():
            entry.pop(name, None)
            if value is not None:
                entry[name] = value
        return json.dumps(text)
    return change


def outside(data):
    files.write(os.path.join(os.path.dirname(data.images_dir), "secret.jpg"), "secret")
    return with_entry("images", 1, file_name="../secret.jpg")(data)


def through_a_link(data):
    os.symlink(data.path, os.path.join(data.images_dir, "link.jpg"))
    return with_entry("images", 1, file_name="link.jpg")(data)


def a_fifo(data):
    os.mkfifo(os.path.join(data.images_dir, "fifo.jpg"))
    return with_entry("images", 1, file_name="fifo.jpg")(data)


def a_page(data):
    files.write(os.path.join(data.masks_dir, "page.png"), "<!doctype html><title>404</title>")
    return with_entry("annotations", 2, file_name="page.png")(data)


@pytest.mark.parametrize("change, words", [
    (cut, ["byte", "ends before"]),
    (lambda data: "some text", ["byte 0", "expected {"]),
    (without("annotations"), ['"annotations"', "no annotations file"]),
    (without("images"), ['"images"', "no annotations file"]),
    (with_entry("annotations", 1, image_id=5), ["annotations[1]", "id 5"]),
    (with_entry("annotations", 1, image_id=None), ["annotations[1]", "byte", "image_id"]),
    (with_entry("annotations", 2, segments_info=None), ["annotations[2]", "segments_info"]),
    (with_entry("images", 2, id=9), ["images[2]", "images[0]", "same id, 9"]),
    (with_entry("annotations", 0, file_name="no.png"), ["panoptic_train2017/no.png", "No such"]),
    (with_entry("images", 0, file_name="no.jpg"), ["annotations[2]", "train2017/no.jpg", "No such"]),
    (with_entry("images", 0, file_name="/etc/passwd"), ["/etc/passwd", "leads out"]),
    (outside, ["../secret.jpg", "leads out"]),
    (through_a_link, ["link.jpg", "symbolic link"]),
    (a_fifo, ["fifo.jpg", "no regular file"]),
    (a_page, ["annotations[2]", "page.png", "masks_dir", "HTML"]),
])
def test_a_wrong_file_is_refused_and_leaves_nothing(mount, table, coco_zone, data, change, words):
    """Panoptic data sets: EINVAL, with where it is wrong and what to do."""
    files.write(data.path, change(data))
    reason = refusal_of(data, coco_zone)
    assert all(word in reason for word in words), reason
    assert_nothing(mount, table)


def test_what_fails_late_leaves_nothing(mount, table, zone, work):
    """Panoptic data sets; Atomic and repeatable: rows that were sent are taken back."""
    data = DataSet(work, n=60, image_bytes=100_000)
    put_options(zone, data.options())
    files.write(os.path.join(data.masks_dir, data.annotations[-1]["file_name"]), "no image")
    assert "annotations[59]" in refusal_of(data, zone)
    assert_nothing(mount, table)
    good = DataSet(work, n=60, image_bytes=100_000)
    copy(good, zone).ok()
    assert rows(mount, table) == good.rows


def test_a_killed_daemon_leaves_nothing(another_mount, table, work):
    """Ingest, Durability; Panoptic data sets."""
    data = DataSet(work, n=60, image_bytes=100_000)
    mount = another_mount(env={"LAKE_FAULT": "ingest-between-batches:2:kill"})
    os.mkdir(mount.zone(table))
    put_options(mount.zone(table), data.options())
    assert copy(data, mount.zone(table)).code != 0
    mount.teardown()
    again = another_mount(mount.workspace)
    assert_nothing(again, table)
    copy(data, again.zone(table)).ok()
    assert again.n_rows(table) == 60


def test_ctrl_c_leaves_nothing(another_mount, table, work):
    """Ingest, Interrupt; Panoptic data sets."""
    data = DataSet(work, n=60, image_bytes=100_000)
    mount = another_mount(env={"LAKE_FAULT": "ingest-between-batches:2:sleep=2000"})
    os.mkdir(mount.zone(table))
    put_options(mount.zone(table), data.options())
    copying = subprocess.Popen(["cp", data.path, mount.zone(table)], env=environment())

    def is_sending():
        jobs = files.read(mount.at(".deeplake", "ingest.jsonl")).decode()
        return any(f"{table}/panoptic" in line and '"sending"' in line
                   for line in jobs.splitlines())

    wait_for(is_sending, 60, "rows to be sent")
    copying.send_signal(signal.SIGINT)
    assert copying.wait(30) != 0
    assert_nothing(mount, table)
    copy(data, mount.zone(table)).ok()
    assert rows(mount, table) == data.rows


def peak_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_many_images_in_bounded_memory(another_mount, table, work):
    """Panoptic data sets: 100 MB of images need a few MiB of memory."""
    data = DataSet(work, n=2000, image_bytes=50_000)
    mount = another_mount()
    os.mkdir(mount.zone(table))
    put_options(mount.zone(table), data.options())
    before = peak_bytes(mount.daemon_pid)
    copy(data, mount.zone(table)).ok()
    grown = peak_bytes(mount.daemon_pid) - before
    print(f"memory grew by {grown >> 10} KiB")
    assert mount.n_rows(table) == 2000
    assert grown < 32 << 20
    jobs = [json.loads(line) for line in
            files.read(mount.at(".deeplake", "ingest.jsonl")).splitlines()]
    job = next(one for one in jobs if one["path"] == f"{table}/panoptic_train2017.json")
    assert (job["kind"], job["rows_written"], job["total"], job["phase"]) == (
        "coco_panoptic", 2000, 2000, "done")


# --- options ---


def test_what_counts_shows_the_folders(mount, table, coco_zone, data):
    """Options of a drop zone: .ingest.effective.json."""
    shown = json.loads(run("cat", os.path.join(coco_zone, ".ingest.effective.json")).ok().out)
    assert shown["format"] == "coco_panoptic"
    assert (shown["images_dir"], shown["masks_dir"]) == (data.images_dir, data.masks_dir)
    put_options(coco_zone, shown)
    copy(data, coco_zone).ok()


def test_folders_that_are_none_are_refused(mount, zone, data, work):
    """Panoptic data sets: EINVAL when the option is written."""
    link = os.path.join(work, "link")
    os.symlink(mount.path, link)
    for changes, words in [
            ({"images_dir": None}, ["images_dir", "needs"]),
            ({"masks_dir": "panoptic_train2017"}, ["masks_dir", "absolute"]),
            ({"masks_dir": 5}, ["masks_dir", "absolute"]),
            ({"images_dir": work + "/no"}, ["images_dir", work + "/no", "No such file"]),
            ({"images_dir": data.path}, ["images_dir", "no folder"]),
            ({"images_dir": mount.path}, ["mount of deeplakefs", "wait for itself"]),
            ({"masks_dir": mount.at("ingest", "x")}, ["masks_dir", "mount of deeplakefs"]),
            ({"masks_dir": link}, ["masks_dir", "mount of deeplakefs"]),
            ({"masks_dir": link + "/ingest"}, ["masks_dir", "mount of deeplakefs"]),
            ({"format": "rows"}, ["images_dir", "coco_panoptic"]),
            ({"format": None}, ["images_dir", "coco_panoptic"]),
            ({"schema": {"width": "INT32"}}, ["width", "FILE"]),
            ({"index": {"text": "btree"}}, ["index", '"text"']),
            ({"images": "/"}, ["unknown option", "images"])]:
        reason = option_refusal_of(zone, data.options(**changes))
        assert all(word in reason for word in words), reason
    put_options(zone, data.options(schema={"path": "FILE"}))


def test_a_folder_that_goes_later_is_told_when_a_file_comes(mount, table, coco_zone, data):
    """Panoptic data sets."""
    shutil.rmtree(data.masks_dir)
    reason = refusal_of(data, coco_zone)
    assert "masks_dir" in reason and data.masks_dir in reason and "No such file" in reason
    assert_nothing(mount, table)


def test_an_index_is_made_with_the_columns(mount, table, zone, data):
    """Indexes of a drop zone; Panoptic data sets."""
    put_options(zone, data.options(index={"image_id": "btree"}))
    copy(data, zone).ok()
    assert "image_id.btree" in os.listdir(mount.at(table, "indexes"))


def test_a_table_with_other_columns(mount, table, coco_zone, data):
    """Panoptic data sets: the types of the table count; columns are added."""
    mount.sql(f'CREATE TABLE "{mount.workspace}"."{table}" (id bigint PRIMARY KEY GENERATED BY '
              'DEFAULT AS IDENTITY, file_id text, width text)')
    reason = refusal_of(data, coco_zone)
    assert '"width"' in reason and "text" in reason
    mount.sql(f'ALTER TABLE "{mount.workspace}"."{table}" DROP COLUMN width')
    copy(data, coco_zone).ok()
    assert rows(mount, table) == data.rows


# --- others ---


@pytest.fixture
def opened(another_mount, table, data):
    """A mount for all, with a drop zone that all may write to."""
    if os.geteuid() != 0:
        pytest.skip("only root can be other users")
    mount = another_mount(options=["-o", "allow_other"])
    os.mkdir(mount.zone(table))
    os.chmod(mount.zone(table), 0o777)
    put_options(mount.zone(table), data.options())
    return mount


WRAPPER = """
import os, sys
try:
    exec(sys.argv[1], {"os": os, "path": sys.argv[2], "more": sys.argv[3:]})
except OSError as error:
    sys.exit(error.errno)
"""


def act(code, path, *more):
    """Runs code as somebody else; 0 or the errno that it got."""
    ran = run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
              "/usr/bin/python3", "-c", WRAPPER, code, path, *more, cwd="/")
    assert "Traceback" not in ran.err, ran
    return ran.code


WRITE = "handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666); " \
        "os.write(handle, more[0].encode()); "


def test_others_name_no_folders(opened, table, data, another_mount):
    """Panoptic data sets; Access: who mounted, and nobody else."""
    path = opened.zone(table, ".ingest.json")
    os.chmod(path, 0o666)
    assert act(WRITE + "os.close(handle)", path, json.dumps(data.options())) == errno.EACCES
    assert "uid 65534" in files.read(path + ".error").decode()
    os.remove(path)
    assert act(WRITE + "os.close(handle)", path, json.dumps(data.options())) == errno.EACCES
    assert not os.path.exists(path)
    assert act(WRITE + "os.close(handle)", path, '{"chunk_size": 500}') == 0


def test_nothing_is_read_for_others(opened, table, data):
    """Panoptic data sets; Access: whatever the call by which the file comes."""
    path = opened.zone(table, "a.json")
    assert act(WRITE + "os.close(handle)", path, data.text()) == errno.EACCES
    reason = files.read(path + ".error").decode()
    assert "coco_panoptic" in reason and "uid 65534" in reason
    # What is written after the first close comes with the release, which is nobody's call.
    assert act(WRITE + "os.close(os.dup(handle))", opened.zone(table, "b.json"),
               data.text()) == errno.EACCES
    assert act(WRITE + """
try:
    os.close(os.dup(handle))
except OSError:
    os.write(handle, b" ")
os.close(handle)""", opened.zone(table, "c.json"), data.text()) == 0
    run("cat", opened.at(".deeplake", "wait")).ok()
    assert act(WRITE + "os.fsync(handle)", opened.zone(table, "d.json"),
               data.text()) == errno.EACCES
    assert_nothing(opened, table)


@pytest.mark.parametrize("name", [".ingest.json", "a.json"])
def test_a_file_that_the_owner_opened_and_others_write(opened, table, data, name):
    """Panoptic data sets; Access: who has written it counts, too."""
    path = opened.zone(table, name)
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    text = json.dumps(data.options()) if name == ".ingest.json" else data.text()
    subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                    "/usr/bin/python3", "-c",
                    "import os, sys; os.write(int(sys.argv[1]), sys.argv[2].encode())",
                    str(handle), text], pass_fds=[handle], check=False, cwd="/",
                   stderr=subprocess.PIPE)
    if name == ".ingest.json":
        with pytest.raises(PermissionError):
            os.close(handle)
    else:
        os.close(handle)  # the verdict came with the first close, the other process's
    assert "uid 65534" in files.read(path + ".error").decode()
    assert_nothing(opened, table)


def test_what_others_wrote_is_not_read_for_the_owner_who_renames_it(opened, table, data):
    """Panoptic data sets; Access."""
    for name in (".a.json.part", ".b.json.part"):
        path = opened.zone(table, name)
        if name.startswith(".a"):
            assert act(WRITE + "os.close(handle)", path, data.text()) == 0
            with pytest.raises(PermissionError):
                os.rename(path, opened.zone(table, "final.json"))
        else:
            files.write(path, data.text())
            assert act("os.rename(path, more[0])", path,
                       opened.zone(table, "final.json")) == errno.EACCES
        assert_nothing(opened, table)
    files.write(opened.zone(table, ".c.json.part"), data.text())
    os.rename(opened.zone(table, ".c.json.part"), opened.zone(table, "final.json"))
    assert rows(opened, table) == data.rows


def test_the_owner_copies_into_a_zone_of_all(opened, table, data):
    """Panoptic data sets; Access: cp -a and rsync give the copy its source's owner."""
    os.chown(data.path, NOBODY, NOBODY)
    run("cp", "-a", data.path, opened.zone(table, "a.json")).ok()
    run("rsync", "-a", data.path, opened.zone(table, "b.json")).ok()
    assert opened.n_rows(table) == 6
    found = os.stat(opened.zone(table, "a.json"))
    assert (found.st_uid, stat.S_ISREG(found.st_mode)) == (NOBODY, True)


@pytest.mark.parametrize("closed, words", [
    ("train2017", ["images_dir", "train2017", "Permission denied"]),
    ("panoptic_train2017", ["masks_dir", "panoptic_train2017", "Permission denied"]),
    ("train2017/000000000009.jpg", ["annotations[2]", "000000000009.jpg", "Permission denied"]),
])
def test_what_may_not_be_read(fresh_backend, work, table, data, closed, words):
    """Panoptic data sets: EACCES, with the folder or the file."""
    if os.geteuid() != 0:
        pytest.skip("only root can become someone else")
    backend = fresh_backend("external")
    os.chmod(work, 0o755)
    os.mkdir(backend.state_dir)
    shutil.chown(backend.state_dir, "postgres")  # who can reach the server's socket, too
    os.chmod(os.path.join(work, closed), 0)
    options = ["--format", "coco_panoptic", "--images-dir", data.images_dir,
               "--masks-dir", data.masks_dir]
    ran = backend.command("ingest", *options, table, data.path, user="postgres")
    assert ran.code == 1 and all(word in ran.err for word in words), ran
    assert "rights" in ran.err
    os.chmod(os.path.join(work, closed), 0o755)
    ran = backend.command("ingest", *options, table, data.path, user="postgres").ok()
    assert json.loads(ran.out)["row_count"] == 3


def test_an_empty_file_is_refused(backend, mount, table, coco_zone, data):
    """Panoptic data sets; When: an empty file is entered when its last handle is released."""
    files.write(data.path, "")
    copy(data, coco_zone)
    run("cat", mount.at(".deeplake", "wait")).ok()
    error = os.path.join(coco_zone, "panoptic_train2017.json.error")
    wait_for(lambda: os.path.exists(error), 5, "the reason")
    assert "empty" in files.read(error).decode()
    assert "empty" in backend.command("ingest", table, data.path, workspace=mount.workspace).err
    assert_nothing(mount, table)


def test_categories_are_those_of_the_file(mount, table, coco_zone, data):
    """Panoptic data sets: every row has all of them."""
    copy(data, coco_zone).ok()
    found = mount.sql(f'SELECT DISTINCT categories FROM "{mount.workspace}"."{table}"')
    assert [json.loads(row[0]) for row in found] == [CATEGORIES]
