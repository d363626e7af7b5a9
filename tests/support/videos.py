# SPDX-License-Identifier: Apache-2.0
"""Videos made by the ffmpeg program, and what ffprobe and ffmpeg say of others.

They share a library with the program under test, and nothing else: what is compared are counts,
times and pixels.
"""

import functools
import hashlib
import io
import json
import os
import shutil
import subprocess

from PIL import Image, ImageChops, ImageStat

from support.shared import made_once

SIZE = "320x240"
RATE = 30

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p")
H264_B = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "64k")


def ffmpeg(*arguments):
    """Runs ffmpeg; returns what it wrote to stdout and stderr."""
    done = subprocess.run(["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-y", *arguments],
                          capture_output=True, check=False, timeout=180)
    assert done.returncode == 0, (arguments, done.stderr.decode("utf-8", "replace")[-2000:])
    return done.stdout, done.stderr.decode("utf-8", "replace")


def pictures(seconds, size=SIZE, rate=RATE):
    """A test picture that moves, as an input; other colours in every corner."""
    return ("-f", "lavfi", "-t", str(seconds), "-i", f"testsrc2=size={size}:rate={rate}")


def sound(seconds, hertz=440):
    return ("-f", "lavfi", "-t", str(seconds), "-i",
            f"sine=frequency={hertz}:sample_rate=48000")


def make(path, *arguments):
    """ffmpeg's output file of these arguments; made once per run unless files go into it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    name = (hashlib.sha256("\0".join(arguments).encode()).hexdigest()
            + os.path.splitext(path)[1])
    reads_files = any(os.path.exists(argument) for argument in arguments)
    made = None if reads_files else made_once(name, lambda target: ffmpeg(*arguments, target))
    if made:
        shutil.copyfile(made, path)
    else:
        ffmpeg(*arguments, path)
    return path


def once(act):
    """act(path, ...), whose result JSON can hold, once per run for all files of the same bytes and
    extension: every kind of server gives the same segments, and decoding them takes long."""
    @functools.wraps(act)
    def ask(path, *arguments):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        question = repr((act.__name__, content, os.path.splitext(path)[1], arguments))

        def answer(target):
            with open(target, "w", encoding="utf-8") as file:
                json.dump(act(path, *arguments), file)

        name = hashlib.sha256(question.encode()).hexdigest() + ".json"
        answered = made_once(name, answer)
        if not answered:
            return act(path, *arguments)
        with open(answered, encoding="utf-8") as file:
            return json.load(file)
    return ask


@once
def probe(path, *arguments):
    done = subprocess.run(["ffprobe", "-v", "error", "-of", "json", *arguments, path],
                          capture_output=True, check=True, timeout=180)
    return json.loads(done.stdout)


def streams(path):
    """What ffprobe says of each video and audio stream that is no attached picture."""
    found = probe(path, "-show_streams", "-count_packets")["streams"]
    return [one for one in found if one["codec_type"] in ("video", "audio")
            and not one["disposition"]["attached_pic"]]


def n_packets(path):
    """[(codec, number of packets)] of each stream."""
    return [(one["codec_name"], int(one.get("nb_read_packets", 0))) for one in streams(path)]


def n_frames(path):
    """[(codec, number of frames that decode)] of each stream."""
    found = probe(path, "-show_streams", "-count_frames")["streams"]
    return [(one["codec_name"], int(one.get("nb_read_frames", 0))) for one in found
            if one["codec_type"] in ("video", "audio")]


@once
def frames(path):
    """A hash of each picture, in the order in which they are shown."""
    text, _ = ffmpeg("-i", path, "-map", "0:v:0", "-vsync", "passthrough", "-f", "framemd5", "-")
    return [line.split(",")[-1].strip() for line in text.decode("ascii").splitlines()
            if not line.startswith("#")]


def key_frames(path):
    """Times of the key frames of the first video stream, as the container counts."""
    found = probe(path, "-fflags", "+genpts", "-select_streams", "v:0", "-show_entries", "packet=pts_time,flags")
    return [float(one["pts_time"]) for one in found["packets"] if "K" in one["flags"]]


@once
def complaints(path):
    """What ffmpeg says while it decodes all of path; nothing when it is whole."""
    return ffmpeg("-i", path, "-map", "0:v", "-map", "0:a?", "-f", "null", "-")[1]


def first_picture(path, size):
    """The first frame as players show it (turned, square pixels), of that size."""
    width, height = size
    data, _ = ffmpeg("-i", path, "-frames:v", "1", "-vf",
                     f"scale={width}:{height}:flags=area,setsar=1", "-f", "image2pipe", "-c:v",
                     "png", "-")
    return Image.open(io.BytesIO(data)).convert("RGB")


def difference(one, other):
    """The mean difference of two pictures of a size, per pixel and channel, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def expected_starts(keys, end, seconds=10):
    """Where segments begin by the rule alone: the first key frame at or after each multiple."""
    starts = [0.0]
    boundary = seconds
    for key in keys[1:]:
        if key + 1e-6 >= boundary and key < end:
            starts.append(key)
            boundary = ((key + 1e-6) // seconds + 1) * seconds
    return starts
