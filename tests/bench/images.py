# SPDX-License-Identifier: Apache-2.0
"""The step images: many JPEGs into one table, against psql's \\copy of the same rows."""

import importlib.util
import io
import os
import random
import uuid

from bench import copyfile
from bench.harness import Against
from support import files

SIZE = 400  # points a side; noise of this size has 200 KB at a usual quality
TARGET_BYTES = 200_000
COLUMNS = "file_id, image, filename"
ASKED = 1.2


def jpeg(image, quality):
    made = io.BytesIO()
    image.save(made, "JPEG", quality=quality)
    return made.getvalue()


def noise(seed):
    """Noise compresses so evenly that one quality gives all images the same size, within some
    hundred bytes."""
    from PIL import Image
    return Image.frombytes("RGB", (SIZE, SIZE), random.Random(seed).randbytes(SIZE * SIZE * 3))


def fitting_quality(image):
    """The highest quality at which it has at most TARGET_BYTES."""
    return max(quality for quality in range(10, 96) if len(jpeg(image, quality)) <= TARGET_BYTES)


def fitted(image, quality):
    """The image at this quality, made TARGET_BYTES long by a comment after its first marker."""
    content = jpeg(image, quality)
    left = TARGET_BYTES - len(content)
    while left >= 4:
        length = min(left, 65_537)
        comment = b"\xff\xfe" + (length - 2).to_bytes(2, "big") + b" " * (length - 4)
        content = content[:2] + comment + content[2:]
        left -= length
    return content


def make(bench):
    """The images, and their rows in both forms of \\copy."""
    source = bench.at("images")
    rows = {"binary": bench.at("images.copy"), "text": bench.at("images.tsv")}
    if os.path.isdir(source):
        return source, rows
    quality = fitting_quality(noise(0))
    for number in range(bench.options.images):
        files.write(os.path.join(source, f"image-{number:04}.jpg"),
                    fitted(noise(number), quality))

    def all_rows():
        for name in sorted(os.listdir(source)):
            yield [str(uuid.uuid4()), files.read(os.path.join(source, name)), name]

    copyfile.write_binary(rows["binary"], all_rows())
    copyfile.write_text(rows["text"], all_rows())
    return source, rows


def step(bench):
    if not importlib.util.find_spec("PIL"):
        bench.notes.append("no Python module PIL: images is not measured")
        return
    source, rows = make(bench)
    n_files = bench.options.images
    n_bytes = sum(entry.stat().st_size for entry in os.scandir(source))
    sample = os.path.join(source, "image-0000.jpg")

    def ours(number):
        table = f"images_{number}"
        seconds = bench.fill(table, [source + "/."], n_files)
        found = bench.mount.sql(f'SELECT sum(octet_length(image)) FROM "{table}"')[0][0]
        if found != n_bytes:
            raise SystemExit(f"{found} bytes in {table}, {n_bytes} were expected")
        os.rmdir(bench.mount.at(table))
        return seconds

    def copy(form):
        return lambda number: bench.copied(COLUMNS, "copied_images", sample, rows[form],
                                           f"FORMAT {form}")

    peers = {f"\\copy {form}": copy(form) for form in rows} if bench.has_psql else {}
    seconds, peak = bench.pairs(ours, peers)
    bench.report("images", f"cp -r of {n_files} JPEGs, {n_bytes / n_files / 1000:.0f} KB each",
                 seconds, peak, {"files": n_files, "bytes": n_bytes},
                 [Against(name, asked=ASKED) for name in peers])
