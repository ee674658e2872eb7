"""Names of files as ids: any bytes, any length, and frames of a file; and back from an id to its file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator

LONGEST_ID = 512
"""Bytes of the longest id of a path: an array of ids takes, for each of them, the width of the longest."""

_END = 160
_ESCAPE = re.compile(r"\\udc([89a-f][0-9a-f])")
_FRAME = re.compile(r"(.+)#([0-9]{1,9})", re.S)


def id_of_path(name: str) -> str:
    r"""Return the id of a relative path: Unicode text of at most `LONGEST_ID` bytes.

    Bytes of a name that are not UTF-8 become escapes. A longer path is cut in its middle, and gets a hash there.

    Example:
        >>> id_of_path("cats/\udcff.jpg")
        'cats/\\udcff.jpg'
    """
    data = name.encode("utf-8", "backslashreplace")
    if len(data) > LONGEST_ID:
        mark = b"~" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16].encode() + b"~"
        data = data[: LONGEST_ID - _END - len(mark)] + mark + data[-_END:]
    return data.decode("utf-8", "ignore")  # half a character at the cut is left out


def id_of_frame(name: object, frame: int) -> str:
    """Return the id of a frame of a file, counted from 0.

    Example:
        >>> id_of_frame("cats/jump.gif", 2)
        'cats/jump.gif#2'
    """
    return f"{name}#{frame}"


def paths_of_id(text: str) -> Iterator[tuple[str, int | None]]:
    r"""Yield the paths, each with the frame, that an id may stand for, the likeliest first; not those of cut ids.

    Example:
        >>> list(paths_of_id("jump.gif#2"))
        [('jump.gif#2', None), ('jump.gif', 2)]
    """
    found = _FRAME.fullmatch(text)
    for path, frame in [(text, None), *([(found[1], int(found[2]))] if found else [])]:
        yield path, frame
        unescaped = _ESCAPE.sub(lambda escape: chr(0xDC00 + int(escape[1], 16)), path)
        if unescaped != path:
            yield unescaped, frame
