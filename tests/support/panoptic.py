# SPDX-License-Identifier: Apache-2.0
"""Small data sets in the form of COCO's panoptic segmentation: images, masks, annotations."""

import json
import os
import struct
import zlib

from support import files
from support.mount import ROOT

JPEG = files.read(os.path.join(ROOT, "tests", "fuzz", "corpus", "image", "good-baseline.jpg"))
CATEGORIES = [{"supercategory": "animal", "isthing": 1, "id": 17, "name": "duck \U0001f986"},
              {"supercategory": "water", "isthing": 0, "id": 178, "name": "lake"}]


def jpeg(comment):
    """A JPEG image that has these bytes as comments, so that any two differ."""
    segments = b""
    for at in range(0, len(comment), 60_000):
        piece = comment[at:at + 60_000]
        segments += b"\xff\xfe" + struct.pack(">H", len(piece) + 2) + piece
    return JPEG[:2] + segments + JPEG[2:]


def png(width, height, color):
    """A PNG image of one colour, (red, green, blue)."""
    def chunk(kind, content):
        return (struct.pack(">I", len(content)) + kind + content +
                struct.pack(">I", zlib.crc32(kind + content)))

    lines = (b"\0" + bytes(color) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2,
                                                              0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


class DataSet:
    """n images of about image_bytes each, below folder; annotations in the opposite order."""

    def __init__(self, folder, n=3, image_bytes=500, seed=0):
        self.images_dir = os.path.join(folder, "train2017")
        self.masks_dir = os.path.join(folder, "panoptic_train2017")
        self.path = os.path.join(folder, "panoptic_train2017.json")
        self.images, self.annotations, self.rows = [], [], []
        for number in range(n):
            self._add(number, image_bytes, seed)
        self.annotations.reverse()
        self.rows.reverse()
        self.write()

    def _add(self, number, image_bytes, seed):
        image_id = 9 * number + 9
        image = jpeg(files.binary(image_bytes, f"{seed} {number}"))
        mask = png(4 + number % 5, 3, (number % 256, number // 256, seed % 256))
        name = f"{image_id:012}"
        files.write(os.path.join(self.images_dir, name + ".jpg"), image)
        files.write(os.path.join(self.masks_dir, name + ".png"), mask)
        segments = [{"id": number, "category_id": 17, "iscrowd": 0, "bbox": [0, 1, 2.5, 3],
                     "area": 7}] * (number % 3)
        self.images.append({"license": 3, "file_name": name + ".jpg", "height": 480 + number,
                            "width": 640, "date_captured": "2013-11-14 17:02:52",
                            "id": image_id})
        self.annotations.append({"segments_info": segments, "file_name": name + ".png",
                                 "image_id": image_id})
        self.rows.append((image_id, image, mask, 640, 480 + number, name + ".jpg", segments,
                          CATEGORIES))

    def text(self):
        return json.dumps({"info": {"year": 2018}, "licenses": [{"id": 3}],
                           "images": self.images, "annotations": self.annotations,
                           "categories": CATEGORIES})

    def write(self):
        """The annotations once more, after they were changed."""
        return files.write(self.path, self.text())

    def options(self, **more):
        return {"format": "coco_panoptic", "images_dir": self.images_dir,
                "masks_dir": self.masks_dir, **more}
