# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest: a video becomes segments that play on their own."""

import errno
import io
import os
import shutil
import struct

import pytest
from PIL import Image

from support import files, videos
from support.checks import assert_not_ingested
from support.videos import AAC, H264, H264_B, pictures, sound

COLUMNS = [("id", "bigint"), ("file_id", "text"), ("chunk_index", "integer"),
           ("start_time", "double precision"), ("end_time", "double precision"),
           ("video_data", None), ("thumbnail", None), ("text", "text")]

TWO = (*pictures(25), *sound(25))

# Name: (ffmpeg's arguments, where segments begin or None for the rule, extension of segments).
KINDS = {
    "h264-aac.mp4": ((*TWO, *H264_B, "-g", "30", *AAC), [0, 10, 20], "mp4"),
    "vp9-opus.webm": ((*TWO, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8",
                       "-g", "60", "-c:a", "libopus"), None, "mp4"),
    "vp8-vorbis.webm": ((*TWO, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8",
                         "-g", "60", "-c:a", "libvorbis"), None, "webm"),
    "mpeg4-mp3.avi": ((*TWO, "-c:v", "mpeg4", "-g", "30", "-c:a", "libmp3lame"), None, "mp4"),
    "mpeg4-b.avi": ((*TWO, "-c:v", "mpeg4", "-g", "25", "-bf", "1", "-flags", "+cgop",
                     "-sc_threshold", "1000000000", "-c:a", "libmp3lame"), None, "mp4"),
    "mjpeg-pcm.mov": ((*pictures(12), *sound(12), "-c:v", "mjpeg", "-q:v", "8", "-c:a",
                       "pcm_s16le"), [0, 10], "mkv"),
    "hevc.mp4": ((*TWO, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
                  "log-level=none:keyint=50:open-gop=0", "-tag:v", "hvc1", *AAC), None, "mp4"),
    "h264.mkv": ((*TWO, *H264_B, "-g", "30", *AAC), None, "mp4"),
    "h264.avi": ((*TWO, *H264, "-g", "30", "-c:a", "libmp3lame"), [0, 301 / 30, 601 / 30],
                 "mp4"),
    "h264-b.avi": ((*TWO, *H264_B, "-g", "30", "-c:a", "libmp3lame"), [0, 10, 20], "mp4"),
    "fragmented.mp4": ((*TWO, *H264, "-g", "30", *AAC, "-movflags",
                        "+frag_keyframe+empty_moov+default_base_moof"), None, "mp4"),
    "exactly-ten.mp4": ((*pictures(10), *sound(10), *H264, "-g", "30", *AAC), [0], "mp4"),
    "three.mp4": ((*pictures(3), *H264, "-g", "30"), [0], "mp4"),
    "two-sounds.mkv": ((*pictures(12), *sound(12), *sound(12, 880), "-map", "0", "-map", "1",
                        "-map", "2", *H264, "-g", "30", "-c:a:0", "aac", "-c:a:1", "libopus"),
                       None, "mp4"),
    "long-sound.mp4": ((*pictures(12), *sound(35), *H264, "-g", "30", *AAC), [0, 10], "mp4"),
    "short-sound.mp4": ((*pictures(25), *sound(3), *H264, "-g", "30", *AAC), [0, 10, 20],
                        "mp4"),
    "sparse.mp4": ((*pictures(60), *sound(60), *H264_B, "-g", "750", "-keyint_min", "750",
                    "-sc_threshold", "0", *AAC), [0, 25, 50], "mp4"),
    "one-key.mp4": ((*pictures(32), *H264, "-g", "100000", "-keyint_min", "100000"), [0], "mp4"),
    "variable.mp4": ((*pictures(25), "-vf", "select='not(mod(n\\,7))+lt(mod(n\\,50)\\,20)'",
                      "-vsync", "vfr", *H264_B, "-g", "20"), None, "mp4"),
}


class Segment:
    """One row, its video as a file."""

    def __init__(self, row, folder):
        self.index, self.start, self.end, data, thumbnail, self.text = row
        self.data = bytes(data)
        self.thumbnail = bytes(thumbnail) if thumbnail is not None else None
        is_mp4 = self.data[4:8] == b"ftyp"
        self.kind = "mp4" if is_mp4 else "webm" if b"webm" in self.data[:64] else "mkv"
        self.path = files.write(os.path.join(folder, f"{self.index:03}.{self.kind}"), self.data)

    def image(self):
        return Image.open(io.BytesIO(self.thumbnail))


def segments_of(mount, table, path, work):
    entry = mount.ledger(table, path)
    assert entry, f"{path} is not in the ledger"
    assert entry["kind"] == "video"
    rows = mount.sql(f'SELECT chunk_index, start_time, end_time, video_data, thumbnail, text '
                     f'FROM "{table}" WHERE file_id = %s ORDER BY chunk_index',
                     entry["file_id"])
    assert entry["n_rows"] == len(rows)
    folder = os.path.join(work, "segments", path)
    return [Segment(row, folder) for row in rows]


@pytest.fixture
def ingest(mount, table, zone, work):
    """Makes a video, copies it in, and gives its path and segments."""
    def run(name, *arguments, source=None):
        path = source or videos.make(os.path.join(work, name), *arguments)
        shutil.copy(path, os.path.join(zone, name))
        return path, segments_of(mount, table, name, work)

    return run


def refused(mount, table, zone, path, *words):
    """path is refused with EINVAL, for a reason that has these words."""
    name = os.path.basename(path)
    with pytest.raises(OSError) as raised:
        shutil.copy(path, os.path.join(zone, name))
    assert raised.value.errno == errno.EINVAL
    reason = files.read(os.path.join(zone, name + ".error")).decode()
    for word in words:
        assert word in reason, reason
    assert_not_ingested(mount, table, name)
    return reason


def assert_whole(source, segments):
    """Every packet of every track once; times without gaps; each segment decodes."""
    total = {}
    for segment in segments:
        for number, (codec, count) in enumerate(videos.n_packets(segment.path)):
            total[number, codec] = total.get((number, codec), 0) + count
        assert videos.complaints(segment.path) == ""
    expected = {(number, codec): count
                for number, (codec, count) in enumerate(videos.n_packets(source))}
    assert total == expected
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert segments[0].start == 0
    for before, after in zip(segments, segments[1:]):
        assert before.end == after.start
        assert before.start < after.start


def test_columns_are_those_of_the_specification(mount, ingest, table):
    """Which kind."""
    ingest("a.mp4", *pictures(1), *H264)
    found = mount.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                      "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
                      "ORDER BY attnum", f'"{table}"')
    assert [name for name, _ in found] == [name for name, _ in COLUMNS]
    for (name, kind), (_, expected) in zip(found, COLUMNS):
        assert expected is None or kind == expected, name


@pytest.mark.parametrize("name", KINDS)
def test_segments_have_every_frame_once_and_play(ingest, name):
    """Which kind."""
    arguments, starts, kind = KINDS[name]
    source, segments = ingest(name, *arguments)
    assert_whole(source, segments)
    assert {segment.kind for segment in segments} == {kind}
    if starts is None:
        keys = [time - min(0, videos.key_frames(source)[0]) for time in videos.key_frames(source)]
        starts = videos.expected_starts(keys, 1e9)
    assert [segment.start for segment in segments] == pytest.approx(starts, abs=0.002)

    duration = float(videos.probe(source, "-show_entries", "format=duration")["format"]
                     ["duration"])
    assert segments[-1].end == pytest.approx(duration, abs=0.1)
    for segment in segments:
        assert max(segment.image().size) == 320
        assert segment.image().format == "JPEG"
        assert segment.text is None


@pytest.mark.parametrize("name", ["h264-aac.mp4", "vp9-opus.webm", "hevc.mp4", "h264-b.avi",
                                  "mpeg4-b.avi", "h264.mkv"])
def test_segments_show_the_frames_of_the_source_in_its_order(ingest, name):
    """Which kind: packets alone could be there and not decode."""
    source, segments = ingest(name, *KINDS[name][0])
    shown = [frame for segment in segments for frame in videos.frames(segment.path)]
    assert shown == videos.frames(source)
    n_sounds = [dict(videos.n_frames(segment.path)) for segment in segments]
    for codec, count in videos.n_frames(source):
        assert sum(one[codec] for one in n_sounds) == count


def test_times_begin_at_zero_in_every_segment(ingest):
    """Which kind."""
    _, segments = ingest("a.mkv", *TWO, *H264_B, "-g", "30", *AAC)
    assert len(segments) == 3
    for segment in segments[1:]:
        for stream in videos.streams(segment.path):
            assert 0 <= float(stream["start_time"]) < 0.03


def test_sound_and_picture_stay_together(ingest, work):
    """Which kind: a click in every second second of both stays where it is."""
    source, segments = ingest(
        "click.mp4", *pictures(25), "-f", "lavfi", "-t", "25", "-i",
        "aevalsrc='if(lt(mod(t,2),0.05),0.9,0)':s=48000", *H264_B, "-g", "60", "-c:a", "aac")
    assert len(segments) == 3
    for segment in segments:
        data, _ = videos.ffmpeg("-i", segment.path, "-af", "aresample=async=1:first_pts=0", "-f",
                                "s16le", "-ac", "1", "-")
        samples = struct.unpack(f"<{len(data) // 2}h", data)
        loud = [number / 48000 for number in range(0, len(samples), 48)
                if abs(samples[number]) > 12000]
        first = next(time for time in loud if time > 0.5)
        assert first == pytest.approx(2, abs=0.03)


def test_open_groups_of_pictures_are_cut_where_they_close(ingest):
    """Which kind: frames before such a key frame need what was before it."""
    source, segments = ingest(
        "open.mkv", *TWO, *H264_B, "-x264-params", "open-gop=1:keyint=60:min-keyint=60:scenecut=0:bframes=3:b-adapt=0:b-pyramid=0", *AAC)
    assert [round(segment.start) for segment in segments] == [0, 20]
    n_source = dict(videos.n_packets(source))
    n_segments = [dict(videos.n_packets(segment.path)) for segment in segments]
    assert {codec: sum(one[codec] for one in n_segments) for codec in n_source} == n_source
    assert videos.complaints(segments[0].path) == ""
    for segment in segments:
        assert max(segment.image().size) == 320


def test_segment_seconds_is_a_setting(another_mount, work, table):
    """Which kind."""
    mount = another_mount(options=["-o", "segment_seconds=4"])
    os.mkdir(mount.zone(table))
    source = videos.make(os.path.join(work, "a.mp4"), *pictures(9), *H264, "-g", "30")
    shutil.copy(source, mount.zone(table, "a.mp4"))
    segments = segments_of(mount, table, "a.mp4", work)
    assert [segment.start for segment in segments] == [0, 4, 8]


def test_the_same_file_gives_the_same_bytes(mount, ingest, table, work):
    """Atomic and repeatable."""
    source, first = ingest("one.mkv", *TWO, *H264_B, "-g", "30", *AAC)
    _, second = ingest("two.mkv", source=source)
    assert [one.data for one in first] == [one.data for one in second]
    assert [one.thumbnail for one in first] == [one.thumbnail for one in second]


def rotated(path, work, degrees):
    return videos.make(os.path.join(work, f"rotated{degrees}.mp4"), "-i", path, "-c", "copy",
                       "-metadata:s:v", f"rotate={degrees}")


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_thumbnails_are_upright(ingest, work, degrees):
    """Which kind."""
    plain = videos.make(os.path.join(work, "plain.mp4"), *pictures(2), *H264)
    source = rotated(plain, work, degrees)
    _, segments = ingest(f"turned{degrees}.mp4", source=source)
    thumbnail = segments[0].image().convert("RGB")
    assert thumbnail.size == ((240, 320) if degrees in (90, 270) else (320, 240))
    assert videos.difference(thumbnail, videos.first_picture(source, thumbnail.size)) < 10
    turned = thumbnail.transpose(Image.Transpose.ROTATE_180)
    assert videos.difference(turned, videos.first_picture(source, thumbnail.size)) > 30
    again = videos.first_picture(segments[0].path, thumbnail.size)
    assert videos.difference(again, videos.first_picture(source, thumbnail.size)) < 1


def test_thumbnails_have_square_pixels(ingest):
    """Which kind."""
    source, segments = ingest("wide.mp4", *pictures(1, "320x240"), "-vf", "setsar=2/1", *H264)
    assert segments[0].image().size == (320, 120)
    stream = videos.streams(segments[0].path)[0]
    assert stream["sample_aspect_ratio"] == "2:1"
    thumbnail = segments[0].image().convert("RGB")
    assert videos.difference(thumbnail, videos.first_picture(source, (320, 120))) < 10


@pytest.mark.parametrize("size, expected", [("64x48", (320, 240)), ("48x64", (240, 320)),
                                            ("1280x720", (320, 180)), ("400x8", (320, 6))])
def test_the_longer_side_of_a_thumbnail_has_320_pixels(ingest, size, expected):
    """Which kind."""
    _, segments = ingest("a.mp4", *pictures(1, size), *H264)
    assert segments[0].image().size == expected


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_thumbnails_have_the_colours_of_the_video(ingest, matrix, levels):
    """Which kind: red is red whatever the matrix and range."""
    to = {"bt709": "bt709", "smpte170m": "bt601", "bt2020nc": "bt2020"}[matrix]
    for colour, rgb in (("red", (255, 0, 0)), ("0x20a040", (32, 160, 64))):
        _, segments = ingest(
            f"{colour}.mp4", "-f", "lavfi", "-t", "1", "-i", f"color={colour}:size=640x360:rate=5",
            "-vf", f"scale=out_color_matrix={to}:out_range={levels},format=yuv420p",
            "-colorspace", matrix, "-color_range", levels, *H264[:-2])
        middle = segments[0].image().convert("RGB").getpixel((160, 90))
        assert middle == pytest.approx(rgb, abs=6)
        assert videos.streams(segments[0].path)[0]["color_space"] == matrix
        assert videos.streams(segments[0].path)[0]["color_range"] == levels


def test_segments_keep_what_the_file_says_of_colours_and_languages(ingest):
    """Which kind."""
    source, segments = ingest(
        "hdr.mp4", *pictures(11), *sound(11), "-c:v", "libx265", "-preset", "ultrafast",
        "-pix_fmt", "yuv420p10le", "-x265-params",
        "log-level=none:keyint=30:open-gop=0:colorprim=bt2020:transfer=smpte2084:"
        "colormatrix=bt2020nc:master-display=G(13250,34500)B(7500,3000)R(34000,16000)"
        "WP(15635,16450)L(10000000,1):max-cll=1000,400", "-tag:v", "hvc1", "-ac", "2",
        "-metadata:s:a:0", "language=fra", *AAC)
    expected = videos.streams(source)
    assert expected[0]["color_transfer"] == "smpte2084"
    for segment in segments:
        found = videos.streams(segment.path)
        for name in ("color_primaries", "color_transfer", "color_space", "pix_fmt", "width"):
            assert found[0][name] == expected[0][name]
        assert found[1]["channel_layout"] == expected[1]["channel_layout"]
        assert found[1]["tags"]["language"] == "fra"
        frame = videos.probe(segment.path, "-select_streams", "v", "-read_intervals", "%+#1",
                             "-show_frames")["frames"][0]
        assert {"Mastering display metadata", "Content light level metadata"} <= {
            one["side_data_type"] for one in frame["side_data_list"]}


SUBTITLES = """1
00:00:00,500 --> 00:00:02,000
<i>first</i> line

2
00:00:09,999 --> 00:00:12,000
over the {\\an8}border
in two lines

3
00:00:10,000 --> 00:00:11,000
größer 数据 🦆

4
00:00:24,000 --> 00:00:24,900
last
"""


@pytest.mark.parametrize("codec, name", [("srt", "a.mkv"), ("ass", "b.mkv"),
                                         ("mov_text", "c.mp4"), ("webvtt", "d.webm")])
def test_subtitles_are_the_text_of_the_segment_they_begin_in(ingest, work, codec, name):
    """Which kind."""
    lines = files.write(os.path.join(work, "lines.srt"), SUBTITLES)
    picture = (("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "30")
               if codec == "webvtt" else (*H264, "-g", "30"))
    source, segments = ingest(name, *pictures(25), "-i", lines, "-map", "0", "-map", "1",
                              *picture, "-c:s", codec)
    assert [segment.text for segment in segments] == [
        "first line\nover the border\nin two lines", "größer 数据 🦆", "last"]
    assert [len(videos.streams(segment.path)) for segment in segments] == [1, 1, 1]


def test_the_default_subtitle_track_is_the_text(ingest, work):
    """Which kind."""
    first = files.write(os.path.join(work, "1.srt"), SUBTITLES)
    second = files.write(os.path.join(work, "2.srt"),
                         "1\n00:00:01,000 --> 00:00:02,000\nthe default\n")
    _, segments = ingest("a.mkv", *pictures(3), "-i", first, "-i", second, "-map", "0", "-map",
                         "1", "-map", "2", *H264, "-disposition:s:0", "0", "-disposition:s:1",
                         "default")
    assert [segment.text for segment in segments] == ["the default"]


def test_a_second_video_track_is_left_out_and_noted(mount, ingest, table):
    """Which kind."""
    _, segments = ingest("a.mkv", *pictures(2), *pictures(2, "64x48"), "-map", "0", "-map", "1",
                         *H264)
    assert [len(videos.streams(one.path)) for one in segments] == [1]
    assert "second video track" in mount.ledger(table, "a.mkv")["notes"]


def test_the_content_decides_which_container_it_is(ingest, work):
    """Which kind."""
    source = videos.make(os.path.join(work, "a.mkv"), *pictures(2), *H264)
    renamed = shutil.copy(source, os.path.join(work, "b.mp4"))
    _, segments = ingest("b.mp4", source=renamed)
    assert_whole(source, segments)


WHOLE = {
    "end.mp4": (*pictures(4), *sound(4), *H264, "-g", "30", *AAC),
    "start.mp4": (*pictures(4), *sound(4), *H264, "-g", "30", *AAC, "-movflags", "+faststart"),
    "parts.mp4": (*pictures(4), *sound(4), *H264, "-g", "30", *AAC, "-movflags",
                  "+frag_keyframe+empty_moov"),
    "a.mov": (*pictures(2), "-c:v", "mjpeg", "-q:v", "15"),
    "a.mkv": (*pictures(4), *sound(4), *H264, "-g", "30", *AAC),
    "a.webm": (*pictures(4), "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "a.avi": (*pictures(4), *sound(4), "-c:v", "mpeg4", "-c:a", "libmp3lame"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_off_is_refused(mount, table, zone, work, name):
    """Refusals: at every twentieth of it."""
    content = files.read(videos.make(os.path.join(work, "whole", name), *WHOLE[name]))
    for part in range(1, 20):
        path = files.write(os.path.join(work, f"{part}-{name}"),
                           content[:len(content) * part // 20])
        refused(mount, table, zone, path)


def test_a_file_of_sound_alone_is_refused(mount, table, zone, work):
    """Refusals."""
    path = videos.make(os.path.join(work, "a.mp4"), *sound(2), *AAC)
    refused(mount, table, zone, path, "has no video track", ".m4a")


@pytest.mark.parametrize("content, word", [
    (b"hello, this is a text", "text"), (files.binary(100_000), "MP4")])
def test_what_is_no_video_is_refused(mount, table, zone, work, content, word):
    """Refusals."""
    refused(mount, table, zone, files.write(os.path.join(work, "a.mp4"), content), word)


def replace_once(content, old, new):
    assert content.count(old) == 1 and len(old) == len(new)
    return content.replace(old, new)


def test_a_header_that_lies_about_the_duration_is_noted(mount, ingest, table, work):
    """Which kind."""
    content = files.read(videos.make(os.path.join(work, "a.mkv"), *pictures(3), *H264))
    at = content.index(b"\x44\x89\x88")
    lie = content[:at + 3] + struct.pack(">d", 3_600_000.0) + content[at + 11:]
    path = files.write(os.path.join(work, "b.mkv"), lie)
    _, segments = ingest("b.mkv", source=path)
    assert segments[-1].end == pytest.approx(3, abs=0.05)
    assert "says 3600.0 s" in mount.ledger(table, "b.mkv")["notes"]


def test_a_header_that_lies_about_the_size_does_no_harm(ingest, work):
    """Which kind: the frames say how large they are."""
    content = files.read(videos.make(os.path.join(work, "a.mp4"), *pictures(2), *H264))
    at = content.index(b"avc1", content.index(b"stsd"))
    lie = content[:at + 28] + b"\xff\xff\xff\xff" + content[at + 32:]
    _, segments = ingest("b.mp4", source=files.write(os.path.join(work, "b.mp4"), lie))
    assert segments[0].image().size == (320, 240)


def test_tables_that_cannot_be_are_refused(mount, table, zone, work):
    """Refusals: nothing is made as large as a header says."""
    content = files.read(videos.make(os.path.join(work, "a.mp4"), *pictures(2), *H264))
    at = content.index(b"stsz")
    lie = content[:at + 8] + struct.pack(">II", 1, 0xffffff00) + content[at + 16:]
    path = files.write(os.path.join(work, "b.mp4"), lie)
    refused(mount, table, zone, path, "more frames than")


def test_a_damaged_middle_is_no_crash(mount, table, zone, work):
    """Refusals: bytes that are wrong give rows or a reason, and the mount lives."""
    for name, arguments in WHOLE.items():
        content = bytearray(files.read(videos.make(os.path.join(work, "whole", name),
                                                   *arguments)))
        for seed in range(6):
            broken = bytearray(content)
            at = len(broken) * (seed + 1) // 8
            broken[at:at + 200] = files.binary(200, seed)
            path = files.write(os.path.join(work, f"{seed}-{name}"), bytes(broken))
            try:
                shutil.copy(path, os.path.join(zone, os.path.basename(path)))
            except OSError as failure:
                assert failure.errno == errno.EINVAL
    assert mount.n_orphans(table) == 0 if mount.table_exists(table) else True
