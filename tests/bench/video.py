# SPDX-License-Identifier: Apache-2.0
"""The step video: one clip by cp, against ffmpeg cutting it into segments, ffmpeg once per segment
for a thumbnail, and psql's \\copy of the rows.

Left out of the peer's time: making the \\copy file, and asking where each segment begins.
"""

import glob
import os
import shutil
import uuid

from bench import copyfile
from bench.harness import Against, run
from support import files

SEGMENT_SECONDS = 10
THUMBNAIL_SIDE = 320
ASKED = 1.0
COLUMNS = "file_id, chunk_index, start_time, end_time, video_data, thumbnail, text"
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-y"]


def make(bench):
    """A clip that moves everywhere, with a tone; a key frame every two seconds."""
    path = bench.at("clip.mp4")
    if not os.path.exists(path):
        length = str(bench.options.seconds)
        run(FFMPEG + [
            "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25",
            "-f", "lavfi", "-i", "mandelbrot=size=320x240:rate=25",
            "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
            "-filter_complex", "[0:v][1:v]overlay=x=900:y=440,format=yuv420p[v]",
            "-map", "[v]", "-map", "2:a", "-t", length, "-c:v", "libx264",
            "-preset", "veryfast", "-b:v", "3M", "-maxrate", "4M", "-bufsize", "6M",
            "-g", "50", "-c:a", "aac", "-b:a", "128k", path])
    return path


def seconds_of(path):
    return float(run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of",
                      "csv=p=0", path]))


class Cut:
    """What ffmpeg makes of the clip, in a folder that is made anew each time."""

    def __init__(self, bench, clip):
        self.bench = bench
        self.clip = clip
        self.folder = bench.at("segments")
        self.rows = bench.at("segments.copy")

    def segments(self):
        return sorted(glob.glob(os.path.join(self.folder, "*.mp4")))

    def cut(self, number=0):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        return self.bench.timed(FFMPEG + [
            "-i", self.clip, "-map", "0", "-f", "segment", "-segment_time",
            str(SEGMENT_SECONDS), "-c", "copy", "-reset_timestamps", "1", "segment%03d.mp4"],
            cwd=self.folder)

    def draw_thumbnails(self, number=0):
        side = THUMBNAIL_SIDE
        fit = f"scale=w={side}:h={side}:force_original_aspect_ratio=decrease"
        return self.bench.timed(*(FFMPEG + ["-i", segment, "-frames:v", "1", "-vf", fit,
                                            segment + ".jpg"] for segment in self.segments()))

    def make_rows(self):
        """The \\copy file. The segments are the same each time, so once is enough."""
        if os.path.exists(self.rows):
            return
        rows, start, file_id = [], 0.0, str(uuid.uuid4())
        for index, segment in enumerate(self.segments()):
            end = start + seconds_of(segment)
            rows.append([file_id, index, start, end, files.read(segment),
                         files.read(segment + ".jpg"), None])
            start = end
        copyfile.write_binary(self.rows, rows)


def short_clip(bench, clip):
    """So that the table's columns are found without cutting all."""
    path = bench.at("short.mp4")
    if not os.path.exists(path):
        run(FFMPEG + ["-i", clip, "-t", "2", "-c", "copy", path])
    return path


def step(bench):
    if not bench.has_tools("video", "ffmpeg", "ffprobe"):
        return
    clip = make(bench)
    cut = Cut(bench, clip)
    cut.cut()
    cut.draw_thumbnails()
    n_segments = len(cut.segments())
    n_bytes = os.path.getsize(clip)

    def ours(number):
        table = f"video_{number}"
        seconds = bench.fill(table, [clip], n_segments)
        os.rmdir(bench.mount.at(table))
        return seconds

    def copy(number):
        cut.make_rows()
        return bench.copied(COLUMNS, "copied_video", short_clip(bench, clip), cut.rows,
                            "FORMAT binary")

    # The other way round, thumbnails are drawn of the segments of the pair before.
    peers = {"segments": cut.cut, "thumbnails": cut.draw_thumbnails}
    if bench.has_psql:
        peers["\\copy binary"] = copy
    seconds, peak = bench.pairs(ours, peers)
    rate = n_bytes * 8 / bench.options.seconds / 1e6
    bench.report("video", f"cp of a clip of {bench.options.seconds} s, 1280x720, {rate:.1f} "
                 f"Mbit/s, {n_segments} segments",
                 seconds, peak, {"bytes": n_bytes}, [Against(*peers, asked=ASKED)])
