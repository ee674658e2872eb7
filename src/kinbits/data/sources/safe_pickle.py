"""Safe reader of pickles: it reads published data sets without running code from the file.

A pickle is a program, which can call any importable function. This reader gives the program no real function or class.
It gives placeholders, which only store their arguments. Placeholders of NumPy arrays are converted to arrays
afterwards. Any other name in a pickle raises an error before it is imported.

A pickle can also run for a very long time, e.g. with keys that have equal hashes, or with a million references to one
array. So keys must be texts, sets are not allowed, and steps and array bytes are limited. CIFAR and the ground truth
of Revisited Oxford are published only as pickles.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kinbits._util import read_regular
from kinbits.errors import DataError, PlatformError

MAX_FILE_BYTES = 2**30
MAX_STEPS = 5_000_000  # CIFAR-100, the longest known file, takes 200,000
_KINDS = "biufSUc"


def read_pickle(path: Path) -> Any:
    """Read a pickle of numbers, texts, lists, tuples, dicts with text keys, and arrays, without running its code.

    The file can be from Python 2 (such as CIFAR) or Python 3, in any pickle protocol. Texts of Python 2, and ASCII
    bytes, become str.

    Args:
        path: The file.

    Raises:
        DataError: If the pickle names another function or class, has a set or a key that is not a text, takes more than
            5,000,000 steps, is damaged, or is larger than 1 GiB.
        PlatformError: If the file cannot be opened.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{path}: a pickle of {size:,} bytes; those of data sets are below {MAX_FILE_BYTES:,}")
        data = read_regular(path)
        return _Converter(2 * len(data) + 2**16).convert(_Reader(io.BytesIO(data), encoding="latin1").load())
    except DataError:
        raise
    except _Refused as refused:
        raise DataError(
            f"{path}: the pickle asks for {refused}; only numbers, texts, lists, dicts and NumPy arrays are read, "
            "because a pickle can run any code: get the file from its publisher, or save plain lists"
        ) from None
    except OSError as error:
        raise PlatformError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise DataError(f"{path}: the pickle is nested too deeply to be a data set; get the original file") from None
    except Exception as error:  # the decoder raises many kinds of errors for a damaged pickle
        raise DataError(f"{path}: damaged pickle ({type(error).__name__}: {error}); copy it again") from None


class _Refused(Exception):  # noqa: N818 - its text is the refused request
    """The pickle requests an object or operation that is not allowed."""


class _Name:
    """Placeholder of a function or class that the pickle names; immutable, without accessible attributes."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Refused(f"a change of '{name}'")

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change of a function or class")

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __hash__(self) -> int:
        return id(self)


class _Dtype:
    """Placeholder of a ``numpy.dtype``; only numbers and fixed-length texts are allowed."""

    __slots__ = ("order", "text")

    def __init__(self, text: Any, *_: Any) -> None:
        self.text, self.order = str(text), "="

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subdtype, names, fields, ...): records and sub-arrays have the middle three.
        if any(part is not None for part in state[2:5]):
            raise _Refused("a NumPy record type")
        self.order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        found = np.dtype(self.text)
        if found.kind not in _KINDS or found.hasobject:
            raise _Refused(f"NumPy arrays of type '{self.text}'")
        return found.newbyteorder(">") if self.order == ">" else found.newbyteorder("<") if self.order == "<" else found


class _Array:
    """Placeholder of a ``numpy.ndarray``, which stores its state."""

    __slots__ = ("state",)

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        _, shape, kind, fortran, raw = self.state
        return _shaped(raw, kind, shape, "F" if fortran else "C")


class _Scalar:
    """Placeholder of a finished number."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change of a finished value")


def _shaped(raw: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(kind, _Dtype):
        raise _Refused("an array without a plain type")
    data = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    flat = np.frombuffer(data, kind.dtype())
    return flat.reshape(tuple(map(int, shape)), order="F" if order == "F" else "C").copy()


def _buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.state = (1, shape, kind, order == "F", raw)
    return array


def _scalar(kind: Any, raw: Any) -> _Scalar:
    return _Scalar(_shaped(raw, kind, (1,), "C")[0].item())


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Replace ``_codecs.encode``, which Python 3 uses to write bytes in old protocols."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"the encoding '{encoding}'")
    return str(text).encode("latin1")


def _never(*_: Any) -> Any:
    raise _Refused("a call of 'ndarray'")


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in pairs}


def _key(key: Any) -> Any:
    """Return a key that is text. Hashes of texts are unpredictable; numbers with equal hashes are easy to construct."""
    if not isinstance(key, (str, bytes)):
        raise _Refused(f"a key of type {type(key).__name__.strip('_')} (keys must be texts)")
    return key


def _no_bytes() -> bytes:
    """Replace ``bytes()``, which protocol 2 uses for an empty buffer."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _never,
    ("collections", "OrderedDict"): _ordered,
    **{(module, "bytes"): _no_bytes for module in ("builtins", "__builtin__")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _buffer for core in ("core", "_core")},
}


def _with_keys(opcode: bytes, reader: Any) -> None:
    """Check the keys on the stack (key, value, key, value, ...) before the decoder puts them into a dict."""
    for key in reader.stack[-2:-1] if opcode == pickle.SETITEM else reader.stack[::2]:
        _key(key)
    pickle._Unpickler.dispatch[opcode[0]](reader)


def _put(reader: Any) -> None:
    index = int(reader.readline()[:-1])
    if not 0 <= index < MAX_STEPS:
        raise _Refused(f"place {index} of its memory")
    reader.memo[index] = reader.stack[-1]


def _no_set(reader: Any) -> None:
    raise _Refused("a set")


_DECODERS: dict[int, Callable[[Any], None]] = {
    **pickle._Unpickler.dispatch,
    **{code[0]: functools.partial(_with_keys, code) for code in (pickle.SETITEM, pickle.SETITEMS, pickle.DICT)},
    **{code[0]: _no_set for code in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET)},
    pickle.PUT[0]: _put,
}


class _Reader(pickle._Unpickler):
    """Pickle decoder of the standard library that can access only the names in `_ALLOWED`.

    This is the decoder written in Python. In the C version, a file of ten bytes can allocate 30 GB of memory, and the
    registry of extensions cannot be disabled.
    """

    def find_class(self, module: str, name: str) -> Any:
        make = _ALLOWED.get((module, name))
        if make is None:
            raise _Refused(f"'{module}.{name}'")
        return _Name(make)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object outside the file")

    def get_extension(self, code: int) -> Any:
        raise _Refused(f"the registered extension {code}")

    def __init__(self, file: io.BytesIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.dispatch = _Steps(_DECODERS)  # type: ignore[misc]  # a new object per file, since it counts


class _Steps(dict[int, Any]):
    """Functions of the opcodes; counts the lookups to limit the number of steps."""

    left = MAX_STEPS

    def __getitem__(self, code: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _Refused(f"more than {MAX_STEPS:,} steps")
        return super().__getitem__(code)


class _Converter:
    """Converts placeholders to arrays and numbers.

    Args:
        most: Maximum number of bytes of all arrays; repeated references to one buffer could exceed any size.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._done: dict[int, Any] = {}  # finished containers, each of which is walked once

    def convert(self, value: Any) -> Any:
        """Return a value without placeholders."""
        if id(value) in self._done:
            return self._done[id(value)]
        if isinstance(value, _Scalar):
            return value.value
        if isinstance(value, _Array):
            return self._done.setdefault(id(value), self._array(value))
        if isinstance(value, (_Name, _Dtype)):
            raise _Refused("a function or type as a value")
        if isinstance(value, bytes):
            return value.decode("ascii") if value.isascii() else value
        if isinstance(value, (list, dict, tuple)):
            self._done[id(value)] = None  # a container inside itself becomes None
            self._done[id(value)] = converted = self._container(value)
            return converted
        return value

    def _array(self, value: _Array) -> np.ndarray:
        self._left -= len(value.state[4])
        if self._left < 0:
            raise _Refused("far more arrays than the file has bytes for")
        return value.array()

    def _container(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self.convert(key): self.convert(cell) for key, cell in value.items()}
        return type(value)(self.convert(cell) for cell in value)
