# SPDX-License-Identifier: Apache-2.0
"""PDF files made for tests: small ones that are right, and hostile ones that are small as well."""

import struct
import zlib


def document(objects, root=1, trailer="", header=b"%PDF-1.7\n"):
    """A file of numbered objects (bytes each; None: free), with its table and its end."""
    out = bytearray(header)
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        if body is not None:
            out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset, body in zip(offsets, objects):
        out += b"%010d 00000 %s \n" % (offset, b"f" if body is None else b"n")
    out += (f"trailer\n<< /Size {len(objects) + 1} /Root {root} 0 R {trailer} >>\n"
            f"startxref\n{table}\n%%EOF\n").encode()
    return bytes(out)


def stream(data, entries=""):
    return f"<< /Length {len(data)} {entries} >>\nstream\n".encode() + data + b"\nendstream"


def text_content(words, size=24):
    return f"BT /F1 {size} Tf 72 600 Td ({words}) Tj ET\n".encode()


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def pages(contents, box=(0, 0, 612, 792), page="", resources="", more=()):
    """A page per content; page: further entries of each. Objects of more begin at number
    4 + 2 * len(contents)."""
    numbers = [4 + 2 * i for i in range(len(contents))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>",
               f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(), FONT]
    for number, content in zip(numbers, contents):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{' '.join(map(str, box))}] "
            f"/Contents {number + 1} 0 R /Resources << /Font << /F1 3 0 R >> {resources} >> "
            f"{page} >>".encode())
        objects.append(content if content.startswith(b"<<") else stream(content))
    return document(objects + list(more))


def simple(n_pages=3, **options):
    """Pages that say "Page 1 of this", and so on."""
    return pages([text_content(f"Page {i + 1} of this") for i in range(n_pages)], **options)


def first_free(n_pages=1):
    """The number of the first object of pages(more=...)."""
    return 4 + 2 * n_pages


def flate_bomb(n_times=2, n_megabytes=1024):
    """A page whose content unpacks, n_times over, to n_megabytes of spaces."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(n_megabytes))
    data += packer.flush()
    for _ in range(n_times - 1):
        data = zlib.compress(data, 9)
    filters = "/FlateDecode " * n_times
    return pages([stream(data, f"/Filter [{filters}]")])


def nested_forms(depth=30, width=10):
    """Forms that draw the next one width times: width ** depth in all."""
    first = first_free()
    forms = []
    for i in range(depth):
        is_last = i == depth - 1
        content = b"0 0 10 10 re f\n" if is_last else b"/X Do\n" * width
        resources = "" if is_last else f"/Resources << /XObject << /X {first + i + 1} 0 R >> >>"
        forms.append(stream(content, "/Type /XObject /Subtype /Form /BBox [0 0 100 100] "
                            + resources))
    return pages([b"/X Do\n"], resources=f"/XObject << /X {first} 0 R >>", more=forms)


def nested_patterns(depth=30):
    """Tiling patterns filled with the next one."""
    first = first_free()
    tiles = []
    for i in range(depth):
        is_last = i == depth - 1
        content = b"0 0 9 9 re f\n" if is_last else b"/Pattern cs /P scn 0 0 99 99 re f\n" * 2
        resources = "<< >>" if is_last else f"<< /Pattern << /P {first + i + 1} 0 R >> >>"
        tiles.append(stream(content, "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 "
                            "/BBox [0 0 90 90] /XStep 90 /YStep 90 /Resources " + resources))
    return pages([b"/Pattern cs /P scn 0 0 612 792 re f\n"],
                 resources=f"/Pattern << /P {first} 0 R >>", more=tiles)


def tiny_steps(step=0.0001):
    """A pattern whose tiles are next to nothing apart."""
    tile = stream(b"0 0 9 9 re f\n", "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 "
                  f"/BBox [0 0 10 10] /XStep {step} /YStep {step} /Resources << >>")
    return pages([b"/Pattern cs /P scn 0 0 612 792 re f\n"],
                 resources=f"/Pattern << /P {first_free()} 0 R >>", more=[tile])


def with_image(width, height, data, entries, box=(0, 0, 612, 792)):
    image = stream(data, f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
                   + entries)
    return pages([b"612 0 0 792 0 0 cm /I Do\n"],
                 resources=f"/XObject << /I {first_free()} 0 R >>", more=[image], box=box)


def huge_image(width=100000, height=100000):
    """Raw pixels, packed: a thousandth of what they unpack to, or less."""
    data = zlib.compress(b"\0" * 10_000_000, 9)
    return with_image(width, height, data,
                      "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode")


def jpeg_bomb(width=65500, height=65500):
    """A progressive JPEG of a few bytes: its decoder would hold every coefficient."""
    data = (b"\xff\xd8\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
            + b"\x01\x11\x00\x02\x11\x00\x03\x11\x00"
            + b"\xff\xda" + struct.pack(">HB", 12, 3) + b"\x01\x00\x02\x00\x03\x00\x00\x00\x00"
            + b"\x00" * 64 + b"\xff\xd9")
    return with_image(100, 100, data,
                      "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode")


def jpeg_2000_bomb(width=60000, height=60000):
    data = (b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 47, 0, width, height, 0, 0, width,
                                              height, 0, 0, 3) + b"\x07\x01\x01" * 3
            + b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00\x05\x04\x04\x00\x01"
            + b"\xff\x5c\x00\x13\x40" + b"\x40" * 16
            + b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x20\x00\x01\xff\x93" + b"\x00" * 18
            + b"\xff\xd9")
    return with_image(100, 100, data, "/Filter /JPXDecode")


def shared_page(n_pages=100_000, claimed=None):
    """One page, named by many kids."""
    kids = "4 0 R " * n_pages
    count = n_pages if claimed is None else claimed
    return document([
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(), FONT,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] /Contents 5 0 R "
        b"/Resources << /Font << /F1 3 0 R >> >> >>", stream(b"0 0 9 9 re f\n")])


def shared_folders(depth=20, width=100):
    """Folders that name the next one width times, and no page at all."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    for i in range(depth):
        kids = "" if i == depth - 1 else f"{i + 3} 0 R " * width
        objects.append(f"<< /Type /Pages /Kids [{kids}] /Count 1 >>".encode())
    return document(objects)
