# SPDX-License-Identifier: Apache-2.0
"""The step pdf: one document by cp, against mutool draw to PNG files and psql's \\copy of the rows.

Left out of the peer's time: making the \\copy file of the PNGs, and finding the pages' text, which
mutool does in a second run. Both would make the peer slower.
"""

import importlib.util
import io
import os
import shutil
import struct
import uuid

from bench import copyfile
from bench.harness import Against, judged, run
from support import files

DPI = 300
PAGES_MIN = 80
ASKED_TIME = 1 / 3
ASKED_SIZE = 1.3
SAMPLE_STEP = 15
DIFFERENCE_MAX = 8  # of 255: rounding when colours become grey and back
COLUMNS = "file_id, page_index, image, text"
# Manuals with text and figures, and the packages they are in; the first that is there is taken.
DOCUMENTS = (
    ("/usr/share/doc/asymptote/asymptote.pdf", "asymptote-doc"),
    ("/usr/share/doc/gnuplot/gnuplot.pdf", "gnuplot-doc"),
)


def find(bench):
    """A document's path, or None and a note."""
    if bench.options.pdf:
        return bench.options.pdf
    for path, _ in DOCUMENTS:
        if os.path.exists(path):
            return path
    bench.notes.append("no document: install the package "
                       + " or ".join(package for _, package in DOCUMENTS)
                       + ", or name a PDF with --pdf; pdf is not measured")
    return None


def count_pages(document):
    for line in run(["mutool", "info", "-M", document]).decode(errors="replace").splitlines():
        if line.startswith("Pages:"):
            return int(line.split()[1])
    raise SystemExit(f"mutool tells no number of pages of {document}")


def png_size(start):
    """(width, height) of a PNG's first 24 bytes."""
    if start[:8] != b"\x89PNG\r\n\x1a\n" or start[12:16] != b"IHDR":
        raise SystemExit(f"not a PNG: {start!r}")
    return struct.unpack("!II", start[16:24])


class Drawn:
    """What mutool makes of the document, in a folder that is made anew each time."""

    def __init__(self, bench, document, n_pages):
        self.bench = bench
        self.document = document
        self.n_pages = n_pages
        self.folder = bench.at("pages")
        self.rows = bench.at("pages.copy")

    def draw(self, number=0):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        return self.bench.timed(["mutool", "draw", "-q", "-r", str(DPI), "-o", "page%d.png",
                                 self.document], cwd=self.folder)

    def page(self, index):
        return os.path.join(self.folder, f"page{index + 1}.png")

    def sizes(self):
        """(width, height) of each page."""
        found = []
        for index in range(self.n_pages):
            with open(self.page(index), "rb") as png:
                found.append(png_size(png.read(24)))
        return found

    def n_bytes(self):
        return sum(os.path.getsize(self.page(index)) for index in range(self.n_pages))

    def texts(self):
        """One form feed ends each page."""
        text = run(["mutool", "draw", "-q", "-F", "txt", "-o", "-", self.document])
        return text.decode(errors="replace").split("\f")

    def make_rows(self):
        """The \\copy file. The pages are the same each time, so once is enough."""
        if os.path.exists(self.rows):
            return
        if not os.path.isdir(self.folder):
            self.draw()
        file_id, texts = str(uuid.uuid4()), self.texts()
        copyfile.write_binary(self.rows, (
            [file_id, index, files.read(self.page(index)), texts[index]]
            for index in range(self.n_pages)))


def largest_difference(one, other):
    """Of two PNGs' points, in any channel, 0 to 255."""
    from PIL import Image, ImageChops
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in (one, other)]
    return max(high for _, high in ImageChops.difference(*images).getextrema())


def compare_points(bench, table, drawn):
    """A page in SAMPLE_STEP, point by point: a size alone would also be right of a blank page."""
    if not importlib.util.find_spec("PIL"):
        bench.notes.append("no Python module PIL: pages were compared by their size alone")
        return
    for index in range(0, drawn.n_pages, SAMPLE_STEP):
        [(ours,)] = bench.mount.sql(f'SELECT image FROM "{table}" WHERE page_index = %s', index)
        found = largest_difference(bytes(ours), files.read(drawn.page(index)))
        if found > DIFFERENCE_MAX:
            raise SystemExit(f"page {index} differs from mutool's by {found} of 255")


def compare(bench, table, drawn):
    """The same pages in the same size, or the times say nothing; returns our PNGs' bytes."""
    rows = bench.mount.sql(f"SELECT substring(image, 1, 24), octet_length(image) "
                           f'FROM "{table}" ORDER BY page_index')
    ours = [png_size(bytes(start)) for start, _ in rows]
    peers = drawn.sizes()
    if len(ours) != len(peers):
        raise SystemExit(f"{len(ours)} pages in {table}, {len(peers)} of mutool's")
    for index, (one, other) in enumerate(zip(ours, peers)):
        if one != other:
            raise SystemExit(f"page {index} is {one} in {table} and {other} of mutool's")
    return sum(n_bytes for _, n_bytes in rows)


def one_page(bench, document):
    """So that the table's columns are found without rendering all."""
    path = bench.at("one-page.pdf")
    if not os.path.exists(path):
        run(["mutool", "merge", "-o", path, document, "1"])
    return path


def step(bench):
    document = find(bench)
    if not document or not bench.has_tools("pdf", "mutool"):
        return
    n_pages = count_pages(document)
    if n_pages < PAGES_MIN:
        bench.notes.append(f"{document} has {n_pages} pages, fewer than {PAGES_MIN}: "
                           "take the pdf figures with care")
    drawn = Drawn(bench, document, n_pages)
    drawn.draw()
    n_bytes = {}

    def ours(number):
        table = f"pdf_{number}"
        seconds = bench.fill(table, [document], n_pages)
        if number == 0:
            compare_points(bench, table, drawn)
        n_bytes["ours"], n_bytes["mutool"] = compare(bench, table, drawn), drawn.n_bytes()
        os.rmdir(bench.mount.at(table))
        return seconds

    def copy(number):
        drawn.make_rows()
        return bench.copied(COLUMNS, "copied_pdf", one_page(bench, document), drawn.rows,
                            "FORMAT binary")

    peers = {"mutool draw": drawn.draw}
    if bench.has_psql:
        peers["\\copy binary"] = copy
    seconds, peak = bench.pairs(ours, peers)
    mb = {name: value / 1e6 for name, value in n_bytes.items()}
    bench.report("pdf", f"cp of {os.path.basename(document)}, {n_pages} pages at {DPI} DPI",
                 seconds, peak, {"pages": n_pages}, [Against(*peers, asked=ASKED_TIME)],
                 [judged(f"size of our PNGs / mutool's: {mb['ours']:.1f} MB / "
                         f"{mb['mutool']:.1f} MB, pages and points agree",
                         n_bytes["ours"] / n_bytes["mutool"], ASKED_SIZE, n_bytes=n_bytes)])
