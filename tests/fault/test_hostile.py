# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Refusals: whatever the bytes of a file are, the daemon answers in
bounded time and memory, refuses what it cannot read, and leaves nothing of it."""

import glob
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import zlib

import pytest

from support import files
from support.fixtures import make_backend, mount_on_tmpfs, new_database, tear_down, used
from support.mount import ROOT, Backend, Mount, run, wait_for
from support.postgres import process_is_alive

CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus", "image")

MEMORY_MAX_MIB = 700  # the daemon's peak (VmHWM), over all of these files
REFUSAL_MAX_SECONDS = 20  # for what is plainly wrong
VERDICT_MAX_SECONDS = 150  # for what takes work to find out; the limit of one part is 120

VIDEO_NAMES = ("mp4", "mov", "avi", "mkv", "webm")
IMAGE_NAMES = ("jpg", "jpeg", "png", "gif", "bmp", "webp")
MEDIA_NAMES = ("pdf",) + VIDEO_NAMES + IMAGE_NAMES


# PDFs


def pdf(objects):
    """A PDF of these objects, the first with the number 1, which is its catalog."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += (b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
            % (len(objects) + 1, start))
    return bytes(out)


def stream(content, entries=b""):
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def one_page(content, resources=b"", more=(), media_box=b"0 0 300 400"):
    """A PDF of one page; content is object 4, more are the objects from 5 on."""
    return pdf([b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R "
                b"/Resources << %s >> >>" % (media_box, resources),
                content, *more])


def many_pages(n_pages, content):
    """A PDF of n_pages pages with the same content and a font."""
    kids = b" ".join(b"%d 0 R" % (5 + number) for number in range(n_pages))
    page = (b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R "
            b"/Resources << /Font << /F 4 0 R >> >> >>")
    return pdf([b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Count %d /Kids [%s] >>" % (n_pages, kids),
                stream(content),
                b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"] + [page] * n_pages)


def busy_content(seed=0):
    """A page with text and some thousand lines, which compresses badly and takes a while."""
    dice = random.Random(f"page {seed}")
    lines = [b"BT /F 12 Tf 72 720 Td (a page of its own) Tj ET"]
    for _ in range(1500):
        lines.append(b"%d %d m %d %d l S" % tuple(dice.randrange(600) for _ in range(4)))
    return b"\n".join(lines)


def ordinary_pdf():
    return many_pages(3, b"BT /F 24 Tf 72 700 Td (an ordinary page) Tj ET\n" * 20)


def packed_twice(n_bytes):
    """n_bytes spaces, deflated two times over."""
    first = zlib.compressobj(9)
    second = zlib.compressobj(9)
    out = []
    block = b" " * (1 << 20)
    for _ in range(n_bytes >> 20):
        out.append(second.compress(first.compress(block)))
    out.append(second.compress(first.flush()))
    out.append(second.flush())
    return b"".join(out)


def laughing_forms(depth=12, width=10):
    """A form that draws the next one ten times, which draws the next one ten times, and so on."""
    more = []
    for level in range(depth):
        number = 5 + level
        is_last = level == depth - 1
        content = b"0 0 9 9 re f " if is_last else b"/X Do " * width
        below = b"" if is_last else b"/Resources << /XObject << /X %d 0 R >> >>" % (number + 1)
        more.append(stream(content, b"/Type /XObject /Subtype /Form /BBox [0 0 300 400] " + below))
    return one_page(stream(b"/X Do"), b"/XObject << /X 5 0 R >>", more)


def vast_image(side=50_000):
    """An image of side x side bits, all of them 0."""
    packer = zlib.compressobj(9)
    row = bytes((side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    image = stream(packed, b"/Type /XObject /Subtype /Image /Width %d /Height %d "
                           b"/BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /FlateDecode"
                   % (side, side))
    return one_page(stream(b"300 0 0 400 0 0 cm /X Do"), b"/XObject << /X 5 0 R >>", [image])


def tiled_to_death():
    """A pattern of tiny cells over a large page."""
    cell = stream(b"0 0 .001 .001 re f", b"/Type /Pattern /PatternType 1 /PaintType 1 "
                  b"/TilingType 1 /BBox [0 0 .001 .001] /XStep .001 /YStep .001 /Resources << >>")
    return one_page(stream(b"/Pattern cs /P scn 0 0 300 400 re f"), b"/Pattern << /P 5 0 R >>",
                    [cell])


HOSTILE_PDFS = {
    "flate in flate": lambda: one_page(
        stream(packed_twice(1 << 30), b"/Filter [/FlateDecode /FlateDecode]")),
    "a vast image": vast_image,
    "forms that multiply": laughing_forms,
    "a form that draws itself": lambda: one_page(
        stream(b"/X Do"), b"/XObject << /X 5 0 R >>",
        [stream(b"/X Do /X Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] "
                                b"/Resources << /XObject << /X 5 0 R >> >>")]),
    "tiny tiles": tiled_to_death,
    "a page as wide as a country": lambda: one_page(
        stream(b"0 0 9 9 re f"), media_box=b"0 0 1000000000 1000000000"),
    "a page of no size": lambda: one_page(stream(b""), media_box=b"0 0 0 0"),
    "a million saved states": lambda: one_page(stream(b"q " * 1_000_000)),
    "a million brackets": lambda: one_page(stream(b"[" * 1_000_000)),
    "an object of a million brackets": lambda: pdf([
        b"<< /Type /Catalog /Pages 2 0 R /X " + b"[" * 1_000_000 + b" >>",
        b"<< /Type /Pages /Kids [] /Count 0 >>"]),
    "a tree of pages that bites its tail": lambda: pdf([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Pages /Kids [2 0 R] /Count 1 /Parent 2 0 R >>"]),
    "a billion pages, as it says": lambda: pdf([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1000000000 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"]),
    "a length that is its own": lambda: one_page(
        b"<< /Length 4 0 R >>\nstream\n0 0 9 9 re f\nendstream"),
}


# Videos and images


def ffmpeg(*arguments):
    if not shutil.which("ffmpeg"):
        pytest.skip("no ffmpeg to make a video with")
    run("ffmpeg", "-nostdin", "-loglevel", "error", "-y", *arguments).ok()


SOUND = {"webm": "libvorbis", "avi": "mp3"}
PICTURE = {"webm": "libvpx", "avi": "mpeg4"}


def make_video(path, seconds, *options, size="96x64", rate=10):
    """Some seconds of a moving picture with sound, of the kind that the extension says."""
    kind = path.rpartition(".")[2]
    ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}",
           "-f", "lavfi", "-i", f"sine=duration={seconds}", "-g", "10",
           "-c:v", PICTURE.get(kind, "libx264"), "-c:a", SOUND.get(kind, "aac"),
           "-pix_fmt", "yuv420p", *options, path)
    return path


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A good file of every media format: {extension: bytes}."""
    folder = tmp_path_factory.mktemp("samples")
    made = {name: files.read(make_video(str(folder / f"a.{name}"), 12)) for name in VIDEO_NAMES}
    made["pdf"] = ordinary_pdf()
    for name in IMAGE_NAMES:
        ending = "jpg" if name == "jpeg" else name
        largest = max(glob.glob(os.path.join(CORPUS, f"good-*.{ending}")), key=os.path.getsize)
        if ending == "jpg":
            largest = os.path.join(CORPUS, "good-progressive.jpg")
        made[name] = files.read(largest)
    return made


def patch_boxes(content, name, change):
    """content with every MP4 box of this name changed in place."""
    out = bytearray(content)
    at = out.find(name)
    assert at > 0, f"there is no {name} to change"
    while at > 0:
        change(out, at + 4)
        at = out.find(name, at + 4)
    return bytes(out)


def with_vast_sides(content):
    """An MP4 whose headers say 65535 x 65535 pixels."""
    def change_track(out, data):
        struct.pack_into(">II", out, data + 76, 65535 << 16, 65535 << 16)

    def change_sample(out, data):
        struct.pack_into(">HH", out, data + 24, 65535, 65535)

    return patch_boxes(patch_boxes(content, b"tkhd", change_track), b"avc1", change_sample)


def with_duration(content, duration):
    """An MP4 whose headers say another duration."""
    def change_movie(out, data):
        struct.pack_into(">I", out, data + 16, duration)

    def change_track(out, data):
        struct.pack_into(">I", out, data + 20, duration)

    out = patch_boxes(content, b"mvhd", change_movie)
    out = patch_boxes(out, b"mdhd", change_movie)
    return patch_boxes(out, b"tkhd", change_track)


def with_samples_of(content, n_ticks):
    """An MP4 each of whose samples lasts this long, as it says."""
    def change(out, data):
        for number in range(struct.unpack_from(">I", out, data + 4)[0]):
            struct.pack_into(">I", out, data + 12 + 8 * number, n_ticks)

    return patch_boxes(content, b"stts", change)


def with_samples(content, n_samples):
    """An MP4 that has this many samples, as it says, all of them of one byte."""
    def change(out, data):
        struct.pack_into(">II", out, data + 4, 1, n_samples)

    return patch_boxes(content, b"stsz", change)


def png_bomb(side=60_000):
    """A good PNG of side x side white pixels of one bit; small as a file."""
    def chunk(name, content):
        return (struct.pack(">I", len(content)) + name + content
                + struct.pack(">I", zlib.crc32(name + content)))

    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


# The mount


def peak_mib(mount):
    with open(f"/proc/{mount.daemon_pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10


def cpu_seconds(mount):
    with open(f"/proc/{mount.daemon_pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_idle(mount):
    before = cpu_seconds(mount)
    time.sleep(0.5)
    return cpu_seconds(mount) - before < 0.1


@pytest.fixture(scope="module")
def module_mount(postgres):
    backend = make_backend("external", postgres)
    yield Mount(backend).start()
    tear_down(backend)


@pytest.fixture
def hostile(module_mount):
    """A mount for all of these files; after each test its daemon is the same one, has not
    taken more memory than it may, is idle, and ingests an ordinary file."""
    yield module_mount
    assert process_is_alive(module_mount.daemon_pid), "the daemon has died"
    assert peak_mib(module_mount) <= MEMORY_MAX_MIB
    wait_for(lambda: is_idle(module_mount), 20, "the daemon to be idle")
    os.makedirs(module_mount.zone("ordinary"), exist_ok=True)
    files.write(module_mount.zone("ordinary", "a.txt"), "an ordinary file")
    assert module_mount.chunks("ordinary", "a.txt") == [(0, "an ordinary file")]
    os.unlink(module_mount.zone("ordinary", "a.txt"))


@pytest.fixture
def drop_zone(hostile, table):
    os.mkdir(hostile.zone(table))
    return table


def copy(mount, table, name, content, limit=REFUSAL_MAX_SECONDS):
    """Runs cp; it ends in time."""
    source = files.write(os.path.join(mount.backend.folder, "source", name), content)
    started = time.monotonic()
    ran = run("cp", source, mount.zone(table), timeout=2 * VERDICT_MAX_SECONDS)
    seconds = time.monotonic() - started
    os.unlink(source)
    assert seconds <= limit, f"{name} took {seconds:.1f} s: {ran!r}"
    return ran


def assert_nothing(mount, table, name):
    assert mount.ledger(table, name) is None
    assert not mount.table_exists(table) or mount.n_orphans(table) == 0


def assert_refused(mount, table, name, content, limit=REFUSAL_MAX_SECONDS,
                   message="Invalid argument"):
    """That verdict, the reason beside it, and nothing in the table."""
    ran = copy(mount, table, name, content, limit)
    assert ran.code != 0, f"{name} of {len(content)} bytes was taken"
    assert message in ran.err, ran
    said = files.read(mount.zone(table, name + ".error")).decode()
    assert len(said) < 2000 and name in said
    assert_nothing(mount, table, name)


def assert_bounded(mount, table, name, content):
    """Taken with all of its rows, or refused and nothing: either in time."""
    ran = copy(mount, table, name, content, VERDICT_MAX_SECONDS)
    entry = mount.ledger(table, name)
    if ran.code == 0:
        assert entry and entry["content_hash"] == files.sha256(content)
        assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE file_id = %s',
                         entry["file_id"]) == [(entry["n_rows"],)]
    else:
        assert "Invalid argument" in ran.err or "File too large" in ran.err, ran
        assert_nothing(mount, table, name)
    return ran


def assert_no_table(mount, table):
    assert mount.ledger_paths(table) == []
    assert not mount.table_exists(table), "refused files have made a table"


def spool_is_empty(mount):
    spool = os.path.join(mount.backend.state_dir, "spool")
    return not os.path.exists(spool) or os.listdir(spool) == []


# What is plainly wrong


@pytest.mark.parametrize("extension", MEDIA_NAMES)
def test_samples_are_good(hostile, drop_zone, samples, extension):
    """Which kind: so that the refusals below are refusals of what was done to these files."""
    copy(hostile, drop_zone, "a." + extension, samples[extension]).ok()
    entry = hostile.ledger(drop_zone, "a." + extension)
    expected = "pdf" if extension == "pdf" else "video" if extension in VIDEO_NAMES else "image"
    assert entry["kind"] == expected
    assert hostile.n_rows(drop_zone) == entry["n_rows"] >= 1


def test_empty_files_are_refused(hostile, drop_zone):
    """Refusals; When: an empty file that its kind cannot be is refused at close() already."""
    for extension in MEDIA_NAMES:
        name = "a." + extension
        copied = copy(hostile, drop_zone, name, b"")
        assert copied.code != 0 and "Invalid argument" in copied.err, (name, copied)
        assert os.path.exists(hostile.zone(drop_zone, name + ".error"))
        synced = run("dd", "if=/dev/null", "of=" + hostile.zone(drop_zone, name), "conv=fsync")
        assert synced.code != 0 and "Invalid argument" in synced.err, (name, synced)
    assert_no_table(hostile, drop_zone)


def test_a_shell_may_redirect_into_a_media_file(hostile, drop_zone, samples):
    """When: not while the process still has it open. A shell closes one descriptor of two before
    the command has written anything."""
    source = files.write(os.path.join(hostile.backend.folder, "redirected.png"), samples["png"])
    for number, shell in enumerate(("bash", "dash")):
        target = hostile.zone(drop_zone, f"{number}.png")
        run(shell, "-c", 'sleep 0.2; { sleep 0.2; cat "$0"; } > "$1"', source, target).ok()
        assert hostile.ledger(drop_zone, f"{number}.png")["n_rows"] == 1
    with open(hostile.at(".deeplake", "errors.jsonl"), encoding="utf-8") as lines:
        assert not [line for line in lines if f'ingest/{drop_zone}/' in line]


def test_wrong_extensions_are_refused(hostile, drop_zone, samples):
    """Refusals: not readable as its kind. Each kind's file under each other kind's names."""
    contents = {"pdf": samples["pdf"], "video": samples["mp4"], "image": samples["png"],
                "text": b"words and words\n" * 100, "html": b"<!DOCTYPE html><p>404</p>" * 50,
                "noise": files.binary(10_000), "zeros": bytes(10_000)}
    names = {"pdf": ("pdf",), "video": VIDEO_NAMES, "image": IMAGE_NAMES}
    for kind, content in contents.items():
        for named, extensions in names.items():
            for extension in extensions if named != kind else ():
                assert_refused(hostile, drop_zone, f"{kind}.{extension}", content)
    for kind in ("video", "image"):
        assert_refused(hostile, drop_zone, f"{kind}.txt", contents[kind])
    assert_no_table(hostile, drop_zone)


@pytest.mark.parametrize("extension", MEDIA_NAMES)
def test_cut_files_are_refused(hostile, drop_zone, samples, extension):
    """Refusals: cut off after every twentieth of its length."""
    content = samples[extension]
    for part in range(1, 20):
        assert_refused(hostile, drop_zone, f"{part}.{extension}",
                       content[:len(content) * part // 20])
    assert_no_table(hostile, drop_zone)


@pytest.mark.parametrize("extension", MEDIA_NAMES)
def test_noise_after_the_first_bytes_is_refused(hostile, drop_zone, samples, extension):
    """Refusals: random bytes, after as many good ones as name the format."""
    # Any bytes are pixels to a BMP whose header is whole.
    for seed, n_good in enumerate((16, 20, 24) if extension == "bmp" else (16, 64, 300)):
        noise = files.binary(100_000, f"{extension} {seed}")
        assert_refused(hostile, drop_zone, f"{seed}.{extension}",
                       samples[extension][:n_good] + noise)
    assert_no_table(hostile, drop_zone)


@pytest.mark.parametrize("extension", MEDIA_NAMES)
def test_damaged_files_are_bounded(hostile, drop_zone, samples, extension):
    """Refusals: good files with bytes changed here and there are taken whole or refused."""
    for seed in range(12):
        dice = random.Random(f"damage {extension} {seed}")
        content = bytearray(samples[extension])
        for _ in range(1 + seed * 4):
            content[dice.randrange(len(content))] = dice.randrange(256)
        assert_bounded(hostile, drop_zone, f"{seed}.{extension}", bytes(content))


# What takes more than it seems


@pytest.mark.parametrize("what", HOSTILE_PDFS)
def test_hostile_pdfs_are_bounded(hostile, drop_zone, what):
    """Refusals; time and memory of a PDF that was made to take all of them."""
    assert_bounded(hostile, drop_zone, "a.pdf", HOSTILE_PDFS[what]())


def test_a_pdf_of_too_many_pages_is_too_large(hostile, drop_zone):
    """Refusals: EFBIG, before any page is rendered."""
    assert_refused(hostile, drop_zone, "a.pdf", many_pages(100_000, b""), message="File too large")
    assert_no_table(hostile, drop_zone)


def test_a_png_bomb_is_bytes(hostile, drop_zone):
    """Which kind: an image is its bytes; nobody unpacks them."""
    content = png_bomb()
    before = peak_mib(hostile)
    copy(hostile, drop_zone, "a.png", content).ok()
    assert files.read(hostile.zone(drop_zone, "a.png")) == content
    assert peak_mib(hostile) - before < 100


LYING_VIDEOS = {
    "vast sides": with_vast_sides,
    "no duration": lambda content: with_duration(content, 0),
    "a hundred years": lambda content: with_duration(content, 0xfffffffe),
    "samples of a day": lambda content: with_samples_of(content, 0x7fffffff),
    "samples of no time": lambda content: with_samples_of(content, 0),
    "four billion samples": lambda content: with_samples(content, 0xffffffff),
}


@pytest.mark.parametrize("what", LYING_VIDEOS)
def test_lying_videos_are_bounded(hostile, drop_zone, samples, what):
    """Refusals; a video's headers are claims."""
    assert_bounded(hostile, drop_zone, "a.mp4", LYING_VIDEOS[what](samples["mp4"]))


# What is interrupted


@pytest.fixture(scope="module")
def long_files(tmp_path_factory):
    """A PDF and a video that take long: {extension: path}."""
    folder = tmp_path_factory.mktemp("long")
    document = files.write(str(folder / "long.pdf"), many_pages(3000, busy_content()))
    clip = make_video(str(folder / "clip.mp4"), 10, size="320x240", rate=25)
    video = str(folder / "long.mp4")
    ffmpeg("-stream_loop", "1500", "-i", clip, "-c", "copy", video)
    return {"pdf": document, "mp4": video}


def progress_of(mount, path):
    """The line of ingest.jsonl about the file that is being ingested, or None."""
    lines = files.read(mount.at(".deeplake", "ingest.jsonl")).decode().splitlines()
    found = [line for line in map(json.loads, lines) if line["path"] == path]
    return found[0] if found else None


def start_long_copy(mount, table, path, min_rows=3):
    """A cp that is in the middle of making rows."""
    name = os.path.basename(path)
    copying = subprocess.Popen(["cp", path, mount.zone(table)], stderr=subprocess.PIPE)

    def is_under_way():
        assert copying.poll() is None, f"it was too fast, or failed: {copying.stderr.read()}"
        line = progress_of(mount, f"{table}/{name}")
        return line and line["phase"] == "reading" and line["rows_written"] >= min_rows

    wait_for(is_under_way, 60, f"rows of {name}")
    return copying


@pytest.mark.parametrize("extension", ["pdf", "mp4"])
def test_ctrl_c_stops_a_long_ingest(hostile, drop_zone, long_files, extension):
    """Interrupt: EINTR, no row; the workers stop too, and others are not kept waiting."""
    copying = start_long_copy(hostile, drop_zone, long_files[extension])
    copying.send_signal(signal.SIGINT)
    started = time.monotonic()
    copying.wait(20)
    assert time.monotonic() - started < 5
    assert copying.returncode != 0
    wait_for(lambda: is_idle(hostile), 5, "the workers to stop")
    name = os.path.basename(long_files[extension])
    line = progress_of(hostile, f"{drop_zone}/{name}")
    assert (line["phase"], bool(line["error"])) == ("failed", True)
    assert_no_table(hostile, drop_zone)
    assert spool_is_empty(hostile)


@pytest.mark.alone
def test_ctrl_c_does_not_wait_for_the_pages_of_others(fresh_backend, work):
    """Interrupt: nor while another file's long page has the only worker."""
    mount = Mount(fresh_backend("external"), options=["-o", "ingest_workers=1"]).start()
    os.mkdir(mount.zone("t"))
    slow = files.write(os.path.join(work, "slow.pdf"), laughing_forms())
    waiting = files.write(os.path.join(work, "waiting.pdf"), ordinary_pdf())
    first = subprocess.Popen(["cp", slow, mount.zone("t")], stderr=subprocess.DEVNULL)
    wait_for(lambda: progress_of(mount, "t/slow.pdf"), 10, "the slow page")
    time.sleep(0.5)
    second = subprocess.Popen(["cp", waiting, mount.zone("t")], stderr=subprocess.DEVNULL)
    wait_for(lambda: progress_of(mount, "t/waiting.pdf"), 10, "the one that waits")
    time.sleep(0.5)
    assert (first.poll(), second.poll()) == (None, None)
    second.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert second.wait(60) != 0
    seconds = time.monotonic() - started
    assert first.poll() is None, f"it ended with the other's page, after {seconds:.1f} s"
    assert seconds < 2
    first.send_signal(signal.SIGINT)
    assert first.wait(20) != 0
    assert_no_table(mount, "t")


@pytest.mark.parametrize("extension", ["pdf", "mp4"])
def test_others_are_served_during_a_long_ingest(hostile, drop_zone, long_files, extension):
    """Tenets: the daemon answers, and other files are ingested meanwhile."""
    copying = start_long_copy(hostile, drop_zone, long_files[extension])
    try:
        started = time.monotonic()
        copy(hostile, drop_zone, "small.txt", b"small").ok()
        assert os.listdir(hostile.path)
        assert time.monotonic() - started < 5
        assert copying.poll() is None
        assert hostile.ledger_paths(drop_zone) == ["small.txt"]
    finally:
        copying.send_signal(signal.SIGINT)
        copying.wait(20)
    assert hostile.ledger_paths(drop_zone) == ["small.txt"]
    assert hostile.n_rows(drop_zone) == 1


@pytest.mark.parametrize("extension", ["pdf", "mp4"])
def test_a_killed_daemon_leaves_nothing_of_a_long_ingest(fresh_backend, long_files, extension):
    """Durability: killed before close returned: no row, and nothing in the staging folder."""
    mount = Mount(fresh_backend("external")).start()
    os.mkdir(mount.zone("t"))
    copying = start_long_copy(mount, "t", long_files[extension])
    mount.kill9()
    assert copying.wait(30) != 0
    run("fusermount3", "-uz", mount.path).ok()
    again = Mount(mount.backend).start()
    assert_no_table(again, "t")
    assert spool_is_empty(again)
    copy(again, "t", "a.pdf", ordinary_pdf()).ok()
    assert again.n_rows("t") == 3


@pytest.fixture
def tight(postgres):
    """A mount whose state folder is a tmpfs of 6 MiB."""
    yield from mount_on_tmpfs(postgres, "6m")


@pytest.mark.parametrize("extension", ["pdf", "mp4"])
def test_no_room_for_rows_is_enospc_and_leaves_nothing(tight, tmp_path, extension):
    """Refusals: no room to stage: the file fits, and its rows do not."""
    if extension == "pdf":
        content = many_pages(400, busy_content())
    else:
        path = make_video(str(tmp_path / "a.mp4"), 35, "-preset", "ultrafast", "-qp", "5",
                          size="640x480", rate=25)
        content = files.read(path)
        assert 3 << 20 < len(content) < 5 << 20, "a size that proves nothing"
    os.mkdir(tight.zone("t"))
    before = used(tight)
    assert_refused(tight, "t", "a." + extension, content, VERDICT_MAX_SECONDS,
                   "No space left on device")
    assert_no_table(tight, "t")
    assert used(tight) <= before + (64 << 10)
    copy(tight, "t", "small.pdf", ordinary_pdf()).ok()
    assert tight.n_rows("t") == 3
