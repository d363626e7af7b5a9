# SPDX-License-Identifier: Apache-2.0
"""Files whose content is known, and the rows that they must become.

expected_rows() is written from the specification's formula alone and shares nothing with the
program that it checks.
"""

import hashlib
import os
import random

TEXT_EXTENSIONS = ("txt", "md", "csv", "json", "xml", "html")

# One, two, three and four bytes of UTF-8, so that characters and bytes never agree by accident.
WORDS = ("lake", "row", "äpfel", "größe", "naïve", "файл", "данные", "数据", "文件", "目录",
         "🦆", "🌊🌊", "π≈3.14", "left\tright", '"quoted"', "back\\slash", "percent%20", 
         "semi;colon")


def text(n_characters, seed=0):
    """n_characters characters of words and lines; the same for the same seed."""
    dice = random.Random(f"text {seed}")
    pieces = []
    length = 0
    while length < n_characters:
        piece = dice.choice(WORDS) + ("\n" if dice.random() < 0.12 else " ")
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)[:n_characters]


def ascii_text(n_characters, seed=0):
    """As text(), of one byte per character."""
    dice = random.Random(f"ascii {seed}")
    letters = "abcdefghijklmnopqrstuvwxyz      ,.\n"
    return "".join(dice.choices(letters, k=n_characters))


def binary(n_bytes, seed=0):
    """n_bytes bytes of every value, NUL among them."""
    return random.Random(f"binary {seed}").randbytes(n_bytes)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def expected_chunks(characters, size=1000, overlap=200):
    """Chunks of `size` characters, each `size - overlap` after the one before; the last
    is the first that reaches the end."""
    step = size - overlap
    chunks = []
    start = 0
    while characters:
        chunks.append(characters[start:start + size])
        if start + size >= len(characters):
            break
        start += step
    return chunks


def expected_rows(characters, size=1000, overlap=200):
    """(chunk_index, text) of every row."""
    return list(enumerate(expected_chunks(characters, size, overlap)))


def is_text(name):
    return name.rpartition(".")[2].lower() in TEXT_EXTENSIONS and "." in name


def tree(folder, n_files, seed=0, low=2000, high=8000):
    """n_files text files of low to high bytes in folder; returns {name: bytes}."""
    dice = random.Random(f"tree {seed}")
    os.makedirs(folder, exist_ok=True)
    made = {}
    for number in range(n_files):
        name = f"note-{number:05}.txt"
        content = ascii_text(dice.randint(low, high), f"{seed} {number}").encode()
        write(os.path.join(folder, name), content)
        made[name] = content
    return made
