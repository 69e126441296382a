"""An image is measured as it streams by, whatever pieces it comes in, and nothing else passes for one."""

import io
import tracemalloc
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain, pairwise, repeat
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from pixhook import measured
from pixhook.errors import ImageRejected, NotAnImage
from pixhook.measured import MeasuredImage, check_whole, from_data_uri, is_data_uri
from pixhook.model import UploadedFile
from tests.support.builders import a_picture

WIDTH, HEIGHT = 64, 48


def _picture(kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    Picture.effect_noise((WIDTH, HEIGHT), 50).convert("RGB").save(content, kind, **options)
    return content.getvalue()


def _animation() -> bytes:
    content = io.BytesIO()
    first, *others = (Picture.effect_noise((WIDTH, HEIGHT), sigma).convert("RGB") for sigma in (20, 50, 80))
    first.save(content, "WEBP", save_all=True, append_images=others)
    return content.getvalue()


def _with_metadata(jpeg: bytes, segments: int) -> bytes:
    """The JPEG with so many of the largest possible APP13 segments before its frame header."""
    segment = b"\xff\xed" + (65_535).to_bytes(2) + bytes(65_533)
    return jpeg[:2] + segments * segment + jpeg[2:]


def _turned() -> Picture.Exif:
    exif = Picture.Exif()
    exif[0x0112] = 6  # orientation: to be shown turned by 90 degrees
    return exif


PNG = _picture("PNG")
JPEG = _picture("JPEG")
PICTURES = {
    "PNG": (PNG, "image/png", "png"),
    "JPEG": (JPEG, "image/jpeg", "jpg"),
    "JPEG, progressive": (_picture("JPEG", progressive=True), "image/jpeg", "jpg"),
    "JPEG, 640 KB of metadata": (_with_metadata(JPEG, 10), "image/jpeg", "jpg"),
    "WebP, lossy": (_picture("WEBP"), "image/webp", "webp"),
    "WebP, lossless": (_picture("WEBP", lossless=True), "image/webp", "webp"),
    "WebP, animated": (_animation(), "image/webp", "webp"),
}


@pytest.mark.parametrize(("content", "content_type", "extension"), PICTURES.values(), ids=PICTURES)
def test_an_image_is_recorded_as_it_is(content: bytes, content_type: str, extension: str) -> None:
    image = MeasuredImage([content])

    assert image.read() == content
    assert (image.content_type, image.extension) == (content_type, extension)
    assert (image.size, image.sha256) == (len(content), sha256(content).hexdigest())
    assert (image.width, image.height) == (WIDTH, HEIGHT)


def test_a_turned_jpeg_has_the_dimensions_it_is_shown_with() -> None:
    image = MeasuredImage([_picture("JPEG", exif=_turned())])
    assert (image.width, image.height) == (HEIGHT, WIDTH)


def _pieces(content: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cuts), len(content)]
    return [content[start:end] for start, end in pairwise(places)]


@given(
    cuts=st.sets(st.integers(1, len(PNG) - 1)),
    steps=st.lists(st.integers(1, 2 * len(PNG)), min_size=1),
)
def test_neither_the_pieces_nor_the_reader_change_what_is_recorded(cuts: set[int], steps: list[int]) -> None:
    image = MeasuredImage(_pieces(PNG, list(cuts)))

    read = [image.read(step) for step in steps]
    rest = image.read()

    assert b"".join([*read, rest]) == PNG
    assert (image.size, image.sha256) == (len(PNG), sha256(PNG).hexdigest())
    assert (image.width, image.height) == (WIDTH, HEIGHT)


def test_a_read_is_short_only_at_the_end() -> None:
    """boto3 takes a short one for the last."""
    image = MeasuredImage(_pieces(PNG, range(1, len(PNG))))
    lengths = [len(image.read(100)) for _ in range(len(PNG) // 100 + 2)]
    assert lengths == [100] * (len(PNG) // 100) + [len(PNG) % 100, 0]


def test_an_empty_piece_is_not_the_end() -> None:
    assert MeasuredImage([b"", PNG[:300], b"", PNG[300:]]).read() == PNG


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89",
        b"an error occurred",
        b"<!doctype html><title>Not found</title>",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
        b'{"error": "expired"}',
        b"RIFF\x04\x00\x00\x00WAVE",
        a_picture("GIF"),
        a_picture("BMP"),
        a_picture("TIFF"),
        b"\n" + PNG,
    ],
    ids=lambda content: ascii(content[:12]),
)
def test_what_is_no_image_that_we_take_is_rejected_at_its_first_bytes(content: bytes) -> None:
    with pytest.raises(NotAnImage, match="not a PNG, JPEG or WebP"):
        MeasuredImage([content])


@pytest.mark.parametrize("length", [8, 15, 19])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP, lossy", "WebP, lossless", "WebP, animated"])
def test_an_image_that_ends_in_its_header_is_rejected(kind: str, length: int) -> None:
    content, _, _ = PICTURES[kind]
    with pytest.raises(NotAnImage):
        MeasuredImage([content[:length]])


@pytest.mark.parametrize("nothing", [slice(16, 20), slice(20, 24)], ids=["width", "height"])
def test_an_image_without_extent_is_rejected(nothing: slice) -> None:
    content = bytearray(PNG)
    content[nothing] = bytes(4)
    with pytest.raises(NotAnImage, match="dimensions"):
        MeasuredImage([bytes(content)])


@given(kind=st.sampled_from(sorted(PICTURES)), place=st.integers(0, 400), byte=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_gives_dimensions_or_a_rejection(kind: str, place: int, byte: bytes) -> None:
    content, _, _ = PICTURES[kind]
    try:
        image = MeasuredImage([content[:place] + byte + content[place + len(byte) :]])
    except NotAnImage:
        return
    assert image.width > 0
    assert image.height > 0


def test_an_image_may_be_as_large_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "MAX_IMAGE_BYTES", len(PNG))
    assert MeasuredImage(_pieces(PNG, [1000])).read() == PNG


def test_an_image_that_is_too_large_is_rejected_as_soon_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "MAX_IMAGE_BYTES", 2000)
    source = chain([PNG[:1000]], repeat(bytes(1000)))
    image = MeasuredImage(source)
    assert image.read(2000)
    with pytest.raises(ImageRejected, match="larger than 2000 bytes"):
        image.read(1)


def test_memory_does_not_grow_with_the_image() -> None:
    step = 64 * 1024
    image = MeasuredImage(chain([PNG], repeat(bytes(step), 60 * 1024**2 // step)))
    tracemalloc.start()
    try:
        while image.read(step):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.size > 60 * 1024**2
    assert peak < 8 * 1024**2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data:image/png;base64,AAAA", True),
        ("DATA:,", True),
        ("https://cdn.example/data:a.png", False),
        ("data", False),
        ("", False),
    ],
)
def test_a_data_uri_is_known_by_its_scheme(source: str, expected: bool) -> None:
    assert is_data_uri(source) is expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"data:image/png;base64,{b64encode(PNG).decode()}", PNG),
        ("data:image/png;base64,aGk=", b"hi"),
        ("data:image/png;base64,aGk%3D", b"hi"),
        ("DATA:IMAGE/PNG;BASE64,aGk=", b"hi"),
        ("data:;base64,aGk=", b"hi"),
        ("data:text/plain;charset=utf-8;base64,aGk=", b"hi"),
        ("data:image/png;base64,", b""),
        ("data:,hi", b"hi"),
        ("data:,a,b", b"a,b"),
        ("data:text/plain,h%69%00", b"hi\0"),
        ("data:base64,aGk=", b"aGk="),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_a_data_uri_is_decoded(uri: str, expected: bytes) -> None:
    assert from_data_uri(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "data:",
        "data:image/png;base64",
        "data:image/png;base64,a",
        "data:image/png;base64,aGk",
        "data:image/png;base64,aGk=aGk=",
        "data:image/png;base64,aG k=",
        "data:image/png;base64,aG_-",
        "data:image/png;base64,ключ",
        "data:,\ud800",
    ],
    ids=ascii,
)
def test_a_broken_data_uri_is_rejected(uri: str) -> None:
    with pytest.raises(ImageRejected, match="data URI"):
        from_data_uri(uri)


def _file(content: bytes, head: int = 4096, tail: int = 2048) -> UploadedFile:
    return UploadedFile(size=len(content), head=content[:head], tail=content[-tail:])


def _archive(comment: bytes = b"") -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        archive.writestr("run.sh", "echo")
        archive.comment = comment
    return content.getvalue()


PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (64, 48), (400, 300)])
def test_whole_image_passes(kind: str, size: tuple[int, int]) -> None:
    check_whole(_file(a_picture(kind, size)), most_bytes=10**6)


def test_animation_is_a_whole_image_too() -> None:
    check_whole(_file(_animation()), most_bytes=10**6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_may_stand_behind_an_image_nor_its_end_be_missing(kind: str) -> None:
    picture = a_picture(kind)
    for other in (picture + b"\0\0", picture + b"<script>", picture[:-3], picture + _archive(), picture + picture[:50]):
        with pytest.raises(NotAnImage):
            check_whole(_file(other), most_bytes=10**6)


@pytest.mark.parametrize(("kind", "end"), [("PNG", PNG_END), ("JPEG", b"\xff\xd9")], ids=["png", "jpeg"])
def test_archive_whose_comment_ends_as_an_image_does_is_found(kind: str, end: bytes) -> None:
    with pytest.raises(NotAnImage, match="not only an image"):
        check_whole(_file(a_picture(kind) + _archive(b"x" * 1000 + end)), most_bytes=10**6)


def test_first_bytes_of_an_archives_end_alone_do_not_make_one() -> None:
    picture = a_picture("PNG")
    odd = picture[:-12] + b"PK\x05\x06" + bytes(30) + PNG_END
    check_whole(_file(odd), most_bytes=10**6)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"GIF89a" + bytes(300),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7" + PNG_END,
        PNG_END,
    ],
)
def test_what_is_no_image_is_none_whatever_it_ends_with(content: bytes) -> None:
    with pytest.raises(NotAnImage):
        check_whole(_file(content), most_bytes=10**6)


def test_document_inside_an_image_is_found() -> None:
    picture = a_picture("JPEG")
    comment = b"\xff\xfe" + (20).to_bytes(2) + b"%PDF-1.7 and so on"
    with pytest.raises(NotAnImage, match="not only an image"):
        check_whole(_file(picture[:2] + comment + picture[2:]), most_bytes=10**6)


def test_image_has_at_most_so_many_bytes() -> None:
    picture = a_picture()
    check_whole(_file(picture), most_bytes=len(picture))
    with pytest.raises(NotAnImage, match="larger"):
        check_whole(_file(picture), most_bytes=len(picture) - 1)


def test_image_without_dimensions_is_damaged() -> None:
    picture = a_picture("PNG")
    with pytest.raises(NotAnImage, match="dimensions"):
        check_whole(_file(picture[:16] + bytes(8) + picture[24:]), most_bytes=10**6)
