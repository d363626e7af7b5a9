# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest: a PDF becomes a row per page, as mutool draws it and reads it."""

import errno
import io
import os
import re
import shutil

import numpy
import pytest
from PIL import Image

from support import files, pdfs
from support.checks import assert_not_ingested
from support.mount import run

COLUMNS = [("id", "bigint"), ("file_id", "text"), ("page_index", "integer"), ("image", None),
           ("text", "text")]

# Debian's packages libtasn1-doc and shared-mime-info.
DOCUMENTS = ["/usr/share/doc/libtasn1-doc/libtasn1.pdf",
             "/usr/share/doc/shared-mime-info/shared-mime-info-spec.pdf"]

TOLERANCE = 2  # of 255, for another version of mutool than the library that is linked

MADE = {
    "rotated.pdf": pdfs.simple(2, page="/Rotate 90"),
    "cropped.pdf": pdfs.simple(1, page="/CropBox [50 500 400 700] /Rotate 270"),
    "unit.pdf": pdfs.simple(1, page="/UserUnit 1.5", box=(0, 0, 300, 400)),
    "uneven.pdf": pdfs.simple(1, box=(10.3, 20.7, 400.1, 300.9)),
    "annotated.pdf": pdfs.simple(1, page="/Annots [<< /Type /Annot /Subtype /Square /F 4 "
                                         "/Rect [50 50 200 200] /C [1 0 0] >> << /Type /Annot "
                                         "/Subtype /Widget /FT /Tx /V (typed) /F 4 "
                                         "/DA (/Helv 12 Tf 0 g) /Rect [50 300 250 340] >>]"),
    "shaded.pdf": pdfs.pages([b"/S sh\n"], resources="/Shading << /S << /ShadingType 2 "
                             "/ColorSpace /DeviceRGB /Coords [0 0 500 500] /Extend [true true] "
                             "/Function << /FunctionType 2 /Domain [0 1] /C0 [1 0 0] "
                             "/C1 [0 0 1] /N 1 >> >> >>"),
    "gold.pdf": pdfs.pages([b"/C cs 0.5 scn 0 0 300 300 re f\n"],
                           resources="/ColorSpace << /C [/Separation /Gold /DeviceCMYK << "
                           "/FunctionType 2 /Domain [0 1] /C0 [0 0 0 0] /C1 [0 0.2 0.8 0] "
                           "/N 1 >>] >>"),
    "tiled.pdf": pdfs.tiny_steps(12),
}


def pages_of(mount, table, path):
    """(page_index, image, text) of one PDF, in order."""
    entry = mount.ledger(table, path)
    assert entry, f"{path} is not in the ledger"
    assert entry["kind"] == "pdf"
    rows = [(index, bytes(image), text) for index, image, text in mount.sql(
        f'SELECT page_index, image, text FROM "{table}" WHERE file_id = %s ORDER BY page_index',
        entry["file_id"])]
    assert [row[0] for row in rows] == list(range(entry["n_rows"]))
    return rows


def picture(data):
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG" and image.mode == "RGB"
    return image


def drawn(source, number, dpi, folder):
    """The page as mutool draws it."""
    path = os.path.join(folder, "drawn.png")
    run("mutool", "draw", "-q", "-r", str(dpi), "-o", path, source, str(number)).ok()
    with Image.open(path) as image:
        return image.convert("RGB")


def text_of(source, number):
    """As mutool reads it, without the form feed that it puts behind each page."""
    out = run("mutool", "draw", "-q", "-F", "txt", source, str(number)).ok().out
    assert out.endswith("\f\n")
    return out[:-2]


def n_pages(source):
    return int(re.search(r"^Pages:\s+(\d+)", run("pdfinfo", source).ok().out, re.M).group(1))


def assert_same_picture(data, source, number, folder, dpi=300):
    mine = picture(data)
    theirs = drawn(source, number, dpi, folder)
    assert mine.size == theirs.size
    assert all(abs(one - dpi) < 0.01 for one in mine.info["dpi"])
    difference = numpy.abs(numpy.asarray(mine, numpy.int16) - numpy.asarray(theirs, numpy.int16))
    assert difference.max() <= TOLERANCE


def copy(source, zone, name=None):
    shutil.copyfile(source, os.path.join(zone, name or os.path.basename(source)))


def put(zone, name, content):
    files.write(os.path.join(zone, name), content)


def assert_refused(mount, table, zone, name, content, code, reason):
    with pytest.raises(OSError) as raised:
        put(zone, name, content)
    assert raised.value.errno == code
    assert reason in files.read(os.path.join(zone, name + ".error")).decode()
    assert_not_ingested(mount, table, name)


@pytest.mark.parametrize("source", DOCUMENTS)
def test_a_document_is_what_mutool_makes_of_it(mount, table, zone, work, source):
    """Which kind."""
    name = os.path.basename(source)
    run("cp", source, zone).ok()
    pages = pages_of(mount, table, name)
    assert len(pages) == n_pages(source)
    for index, image, text in pages:
        assert picture(image).size == picture(pages[0][1]).size
        assert text == text_of(source, index + 1)
    for index in {0, 1, len(pages) // 2, len(pages) - 1}:
        assert_same_picture(pages[index][1], source, index + 1, work)


def test_the_columns_are_those_of_the_specification(mount, table, zone):
    """Which kind."""
    put(zone, "a.PDF", pdfs.simple(1))
    found = mount.sql("SELECT column_name, data_type FROM information_schema.columns "
                      "WHERE table_name = %s ORDER BY ordinal_position", table)
    assert [name for name, _ in found] == [name for name, _ in COLUMNS]
    assert all(wanted in (None, kind) for (_, kind), (_, wanted) in zip(found, COLUMNS))


@pytest.mark.parametrize("name", MADE)
def test_pages_of_all_sorts(mount, table, zone, work, name):
    """Which kind."""
    source = files.write(os.path.join(work, name), MADE[name])
    put(zone, name, MADE[name])
    for index, image, text in pages_of(mount, table, name):
        assert_same_picture(image, source, index + 1, work)
        assert text == text_of(source, index + 1)


def test_pages_keep_their_order(mount, table, zone):
    """Which kind."""
    put(zone, "many.pdf", pdfs.simple(150, box=(0, 500, 300, 700)))
    pages = pages_of(mount, table, "many.pdf")
    assert [text.strip() for _, _, text in pages] == [f"Page {i + 1} of this" for i in range(150)]
    ids = [row[0] for row in mount.sql(f'SELECT page_index FROM "{table}" ORDER BY id')]
    assert ids == list(range(150))


def test_again_is_nothing_new(mount, table, zone):
    """Atomic and repeatable."""
    put(zone, "a.pdf", pdfs.simple(3))
    before = mount.sql(f'SELECT id, file_id FROM "{table}" ORDER BY id')
    put(zone, "a.pdf", pdfs.simple(3))
    assert mount.sql(f'SELECT id, file_id FROM "{table}" ORDER BY id') == before
    put(zone, "a.pdf", pdfs.simple(2))
    assert mount.n_rows(table) == 2
    os.unlink(os.path.join(zone, "a.pdf"))
    assert mount.n_rows(table) == 0


def test_a_large_page_has_a_lower_resolution(mount, table, zone):
    """Which kind."""
    put(zone, "large.pdf", pdfs.simple(1, box=(0, 0, 14400, 14400)))
    (_, image, _), = pages_of(mount, table, "large.pdf")
    Image.MAX_IMAGE_PIXELS = None
    assert picture(image).size == (14000, 14000)
    assert all(abs(one - 70) < 0.01 for one in picture(image).info["dpi"])


def test_the_resolution_is_an_option(table, another_mount, work):
    """Which kind."""
    mount = another_mount(options=["--pdf-dpi", "100", "--pdf-max-pages", "2"])
    zone = mount.zone(table)
    os.mkdir(zone)
    source = files.write(os.path.join(work, "a.pdf"), pdfs.simple(2))
    copy(source, zone)
    for index, image, _ in pages_of(mount, table, "a.pdf"):
        assert_same_picture(image, source, index + 1, work, dpi=100)
    assert_refused(mount, table, zone, "b.pdf", pdfs.simple(3), errno.EFBIG, "pdf_max_pages")


@pytest.mark.parametrize("source", DOCUMENTS)
def test_a_document_that_is_cut_off_leaves_nothing(mount, table, zone, source):
    """Refusals; Atomic and repeatable."""
    content = files.read(source)
    for i in range(1, 20):
        assert_refused(mount, table, zone, f"cut{i}.pdf", content[:len(content) * i // 20],
                       errno.EINVAL, "ends before its end")
    assert not mount.table_exists(table) or mount.n_rows(table) == 0


def test_a_bad_copy_leaves_the_good_one(mount, table, zone):
    """Atomic and repeatable."""
    good = pdfs.simple(3)
    put(zone, "a.pdf", good)
    before = mount.sql(f'SELECT id, file_id FROM "{table}" ORDER BY id')
    with pytest.raises(OSError):
        put(zone, "a.pdf", good[:600])
    assert mount.sql(f'SELECT id, file_id FROM "{table}" ORDER BY id') == before


def test_an_encrypted_one_is_refused(mount, table, zone, work):
    """Refusals."""
    plain = files.write(os.path.join(work, "plain.pdf"), pdfs.simple(1))
    for name, owner, user in (("locked.pdf", "o", "u"), ("open.pdf", "o", "")):
        locked = os.path.join(work, name)
        arguments = ["mutool", "clean", "-E", "aes-256", "-O", owner]
        run(*arguments, *(["-U", user] if user else []), plain, locked).ok()
    assert_refused(mount, table, zone, "locked.pdf", files.read(os.path.join(work, "locked.pdf")),
                   errno.EINVAL, "qpdf --decrypt")
    copy(os.path.join(work, "open.pdf"), zone)
    assert len(pages_of(mount, table, "open.pdf")) == 1


REFUSED = {
    "empty": (b"", errno.EINVAL, "empty"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), errno.EINVAL, "PNG"),
    "many": (pdfs.shared_page(), errno.EFBIG, "more than 20000 pages"),
    "many-more": (pdfs.shared_page(claimed=-1), errno.EFBIG, "more than 20000 pages"),
    "packed": (pdfs.flate_bomb(3, 64), errno.EINVAL, "compressed 3 times"),
    "jpeg": (pdfs.jpeg_bomb(), errno.EINVAL, "65500 x 65500"),
    "jpeg-2000": (pdfs.jpeg_2000_bomb(), errno.EINVAL, "60000 x 60000"),
    "steps": (pdfs.tiny_steps(), errno.EINVAL, "repeated without measure"),
    "folders": (pdfs.shared_folders(), errno.EINVAL, "cannot be found"),
    "forms": (pdfs.nested_forms(), errno.EFBIG, "512 MiB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_document_is_refused(mount, table, zone, name):
    """Refusals."""
    content, code, reason = REFUSED[name]
    assert_refused(mount, table, zone, name + ".pdf", content, code, reason)
    put(zone, "good.pdf", pdfs.simple(1))
    assert len(pages_of(mount, table, "good.pdf")) == 1


def test_a_damaged_one_is_repaired(mount, table, zone):
    """Which kind."""
    put(zone, "a.pdf", re.sub(rb"startxref\n\d", b"startxref\n9", pdfs.simple(3)))
    assert len(pages_of(mount, table, "a.pdf")) == 3
