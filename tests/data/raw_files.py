"""Small RAW files (DNG) that the tests write themselves."""

import struct

import numpy as np

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMS = {_BYTE: "B", _ASCII: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "II", _SRATIONAL: "ii"}


def dng(size=(320, 288), *, preview=None, orientation=1, colour=(0.8, 0.4, 0.2), grey=False):
    """Return a DNG file: a colour filter array of one colour, or a grey array, and a JPEG as its preview.

    Args:
        size: Width and height of the array.
        preview: Bytes of a JPEG; None for none.
        orientation: EXIF orientation of both.
        colour: Red, green and blue, 0..1.
        grey: Whether the sensor has no colour filters.
    """
    width, height = size
    levels = np.array([[colour[0], colour[1]], [colour[1], colour[2]]])  # RGGB
    sensor = (np.tile(levels, (height // 2, width // 2)) * 60000).astype("<u2").tobytes()
    camera = [
        (271, _ASCII, b"Testmaker\0"),
        (272, _ASCII, b"Test camera\0"),
        (274, _SHORT, [orientation]),
        (50706, _BYTE, [1, 4, 0, 0]),
        (50708, _ASCII, b"Test camera\0"),
        (50721, _SRATIONAL, [(int(n == m), 1) for n in range(3) for m in range(3)]),
        (50728, _RATIONAL, [(1, 1)] * 3),
        (50778, _SHORT, [21]),
    ]
    array = [
        (254, _LONG, [0]),
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [16]),
        (259, _SHORT, [1]),
        (262, _SHORT, [32803]),
        (277, _SHORT, [1]),
        (278, _LONG, [height]),
        (279, _LONG, [len(sensor)]),
        (33421, _SHORT, [2, 2]),
        (33422, _BYTE, [0, 1, 1, 2]),
        (50717, _LONG, [60000]),
    ]
    if grey:
        array = [(tag, kind, [34892] if tag == 262 else value) for tag, kind, value in array if tag < 30000]
        array.append((50717, _LONG, [60000]))
    if preview is None:
        return _tiff([(array + camera, sensor)])
    small = [(254, _LONG, [1]), (259, _SHORT, [7]), (262, _SHORT, [6]), (258, _SHORT, [8, 8, 8]), (277, _SHORT, [3])]
    small += [(256, _LONG, [_jpeg_size(preview)[0]]), (257, _LONG, [_jpeg_size(preview)[1]])]
    small += [(278, _LONG, [_jpeg_size(preview)[1]]), (279, _LONG, [len(preview)])]
    return _tiff([(small + camera, preview), (array, sensor)])


def _jpeg_size(data):
    place = 2
    while data[place + 1] not in (0xC0, 0xC1, 0xC2):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return int.from_bytes(data[place + 7 : place + 9], "big"), int.from_bytes(data[place + 5 : place + 7], "big")


def _tiff(pictures):
    """Return a TIFF file: the first picture is the first IFD, the second one its sub-IFD."""
    header = 8
    place = header
    offsets = []
    for _, data in pictures:
        offsets.append(place)
        place += len(data) + len(data) % 2
    body = b"".join(data + b"\0" * (len(data) % 2) for _, data in pictures)
    blocks, starts = [], []
    for number, ((tags, _), offset) in reversed(list(enumerate(zip(pictures, offsets, strict=True)))):
        entries = [*tags, (273, _LONG, [offset])]
        if number == 0 and len(pictures) > 1:
            entries.append((330, _LONG, [starts[0]]))
        starts.append(place)
        blocks.append(_directory(sorted(entries), place))
        place += len(blocks[-1])
    return struct.pack("<2sHI", b"II", 42, starts[-1]) + body + b"".join(blocks)


def _directory(entries, start):
    table, extra = struct.pack("<H", len(entries)), b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
        form = _FORMS[kind][0]
        data = struct.pack(f"<{len(flat)}{form}", *flat)
        table += struct.pack("<HHI", tag, kind, len(values))
        if len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack("<I", after + len(extra))
            extra += data + b"\0" * (len(data) % 2)
    return table + b"\0" * 4 + extra
