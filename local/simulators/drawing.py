"""The images: real ones, drawn from the prompt, so that a look at a result says where it came from."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

from local.simulators.provider import ImageFormat

type Colour = tuple[int, int, int]
type Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_WHITE = (255, 255, 255)
_PANEL = (16, 18, 27, 150)
_PROMPT_SHOWN = 600  # characters; what does not fit at the smallest size is cut anyway
_SMALLEST_TEXT = 10
_SAVE_OPTIONS: Mapping[ImageFormat, dict[str, object]] = {
    "png": {},
    "jpeg": {"quality": 88},
    # Only the extended layout, which comes with metadata, leaves a WebP file room for padding.
    "webp": {"quality": 85, "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"},
}


def size_for(ratio: tuple[int, int] | None, long_side: int, reference: bytes | None) -> tuple[int, int]:
    """Width and height in pixels; without a ratio that of the reference, or a square."""
    if ratio is None:
        ratio = Image.open(io.BytesIO(reference)).size if reference else (1, 1)
    scale = long_side / max(ratio)
    return max(1, round(ratio[0] * scale)), max(1, round(ratio[1] * scale))


def draw(
    prompt: str,
    *,
    label: str,
    size: tuple[int, int],
    image_format: ImageFormat,
    reference: bytes | None = None,
    variant: int = 0,
) -> bytes:
    """The prompt on a background of its own, the label below it and the reference, if any, above it."""
    image = _background(size, f"{prompt}#{variant}")
    margin = max(2, min(size) // 16)
    top = margin
    if reference is not None:
        top += _thumbnail(image, reference, margin) + margin
    label_font = _font(max(_SMALLEST_TEXT, min(size) // 32))
    label_top = size[1] - margin - _line_height(label_font)
    _panel(image, (margin, top, size[0] - margin, size[1] - margin))
    canvas = ImageDraw.Draw(image)
    _prompt(canvas, prompt, (2 * margin, top + margin, size[0] - 2 * margin, label_top - margin))
    canvas.text((2 * margin, label_top - margin // 2), label, font=label_font, fill=(215, 220, 235))
    return encoded(image, image_format)


def encoded(image: Image.Image, image_format: ImageFormat) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **_SAVE_OPTIONS[image_format])
    return file.getvalue()


def _background(size: tuple[int, int], seed: str) -> Image.Image:
    digest = hashlib.sha256(seed.encode()).digest()
    hue = digest[0] * 360 // 256
    gradient = Image.linear_gradient("L").rotate(digest[1] % 4 * 90).resize(size)
    image = ImageOps.colorize(gradient, _hsl(hue, 70, 38), _hsl(hue + 50, 75, 68))
    shapes = ImageDraw.Draw(image, "RGBA")
    for index in range(2, 26, 4):
        x, y, radius, tint = digest[index : index + 4]
        centre = (x * size[0] // 255, y * size[1] // 255)
        shapes.circle(centre, max(size) * (radius + 64) // 1200, fill=(*_hsl(hue + tint // 3, 80, 70), 70))
    return image


def _hsl(hue: int, saturation: int, lightness: int) -> Colour:
    red, green, blue = Image.new("RGB", (1, 1), f"hsl({hue % 360}, {saturation}%, {lightness}%)").tobytes()
    return red, green, blue


def _thumbnail(image: Image.Image, reference: bytes, margin: int) -> int:
    """Draw the reference at the top and return its height with the frame."""
    frame = max(1, margin // 6)
    room = (image.width - 2 * (margin + frame), image.height * 2 // 5)
    picture = ImageOps.contain(Image.open(io.BytesIO(reference)).convert("RGB"), room)
    framed = ImageOps.expand(picture, frame, _WHITE)
    image.paste(framed, ((image.width - framed.width) // 2, margin))
    return framed.height


def _panel(image: Image.Image, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    if right > left and bottom > top:
        ImageDraw.Draw(image, "RGBA").rounded_rectangle(box, radius=left, fill=_PANEL)


def _prompt(canvas: ImageDraw.ImageDraw, prompt: str, box: tuple[int, int, int, int]) -> None:
    """Write the prompt in the largest type that fits the box; at the smallest, cut what does not."""
    left, top, right, bottom = box
    text = " ".join(prompt[:_PROMPT_SHOWN].split())
    points = max(_SMALLEST_TEXT, min(right - left, bottom - top) // 4)
    while True:
        font = _font(points)
        lines = list(_wrapped(text, font, right - left))
        fitting = max(1, (bottom - top) // _line_height(font))
        if len(lines) <= fitting or points == _SMALLEST_TEXT:
            break
        points = max(_SMALLEST_TEXT, points * 7 // 8)
    canvas.multiline_text((left, top), "\n".join(lines[:fitting]), font=font, fill=_WHITE, spacing=points // 4)


def _wrapped(text: str, font: Font, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}".lstrip()
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
        while len(line) > 1 and font.getlength(line) > width:
            cut = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or font.getlength(line[:n]) <= width)
            yield line[:cut]
            line = line[cut:]
    yield line


@cache
def _font(points: int) -> Font:
    return ImageFont.load_default(points)


def _line_height(font: Font) -> int:
    return round(font.getbbox("Ag")[3] * 1.25)


@cache
def reference_png(name: str) -> bytes:
    """One of the ready reference images; raises KeyError for a name that is not in REFERENCES."""
    image = Image.new("RGB", (512, 512))
    REFERENCES[name](ImageDraw.Draw(image))
    return encoded(image, "png")


def _cat(canvas: ImageDraw.ImageDraw) -> None:
    fur, dark, pink = (235, 150, 70), (45, 35, 40), (240, 150, 160)
    canvas.rectangle((0, 0, 512, 512), fill=(190, 222, 235))
    for points in (((110, 240), (120, 70), (245, 165)), ((402, 240), (392, 70), (267, 165))):
        canvas.polygon(points, fill=fur)
    canvas.ellipse((96, 130, 416, 440), fill=fur)
    for x in (190, 322):
        canvas.ellipse((x - 32, 235, x + 32, 305), fill=_WHITE)
        canvas.ellipse((x - 12, 240, x + 12, 300), fill=dark)
    canvas.polygon(((236, 330), (276, 330), (256, 352)), fill=pink)
    canvas.arc((206, 330, 256, 385), 10, 140, fill=dark, width=5)
    canvas.arc((256, 330, 306, 385), 40, 170, fill=dark, width=5)
    for y in (335, 360, 385):
        canvas.line((180, 355, 60, y), fill=dark, width=3)
        canvas.line((332, 355, 452, y), fill=dark, width=3)


def _product(canvas: ImageDraw.ImageDraw) -> None:
    canvas.rectangle((0, 0, 512, 512), fill=(244, 238, 228))
    canvas.ellipse((130, 440, 382, 480), fill=(222, 212, 198))
    canvas.rounded_rectangle((216, 50, 296, 130), radius=10, fill=(60, 60, 66))
    canvas.rounded_rectangle((156, 120, 356, 462), radius=40, fill=(46, 130, 120))
    canvas.rounded_rectangle((176, 140, 196, 442), radius=10, fill=(96, 172, 160))
    canvas.rectangle((156, 230, 356, 370), fill=(250, 246, 238))
    canvas.text((256, 300), "lotion", font=_font(56), fill=(46, 130, 120), anchor="mm")


REFERENCES: Mapping[str, Callable[[ImageDraw.ImageDraw], None]] = {"cat": _cat, "product": _product}
