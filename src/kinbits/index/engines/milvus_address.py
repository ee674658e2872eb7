"""Connections to Milvus collections: addresses, needed packages, and readable errors."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from kinbits.errors import PlatformError, UsageError
from kinbits.index.engines.base import installed

_PORT = 19530
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_DEFAULT_COLLECTION = "kinbits"
_FORM = "write milvus://HOST:PORT/COLLECTION, or milvus-lite:FILE.db or milvus-lite:FILE.db#COLLECTION"


@dataclass(frozen=True)
class MilvusAddress:
    """Address of a collection.

    Attributes:
        uri: URI without a password, for messages.
        endpoint: Address of the server, or path of the file.
        collection: Name of the collection.
        lite: Whether it is a local file of Milvus Lite.
        token: ``"USER:PASSWORD"`` if the URI has them.
    """

    uri: str
    endpoint: str
    collection: str
    lite: bool
    token: str = field(default="", repr=False)

    @classmethod
    def from_uri(cls, text: str, *, secure: bool = False) -> MilvusAddress:
        """Parse a URI.

        Raises:
            UsageError: If it has no host, file or collection; the message shows valid forms.
        """
        scheme, _, rest = text.partition(":")
        if scheme == "milvus-lite":
            file, _, name = rest.partition("#")
            if not file.endswith(".db") or file.startswith("//"):
                raise UsageError(f"{text!r} has no file that ends with .db; {_FORM}")
            path = Path(file).absolute()
            return cls(text, str(path), _collection(name or _DEFAULT_COLLECTION), lite=True)
        parts, port = _server(text)
        name = _collection(parts.path.strip("/"))
        token = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
        endpoint = f"{'https' if secure else 'http'}://{parts.hostname}:{port}"
        return cls(f"milvus://{parts.hostname}:{port}/{name}", endpoint, name, lite=False, token=token)


class MilvusConnection:
    """A connection to one collection."""

    def __init__(self, address: MilvusAddress, *, token: str | None, timeout: int) -> None:
        self.address, self._timeout = address, timeout
        require_packages(address.lite)
        if address.lite:
            _require_folder(Path(address.endpoint))
        with self._platform_errors("connect"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # milvus-lite warns about pkg_resources, which users cannot change
            from pymilvus import MilvusClient

            self.client: Any = MilvusClient(address.endpoint, token=token or address.token, timeout=timeout)

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client on the collection.

        Raises:
            PlatformError: If Milvus cannot be reached, or refuses the call.
        """
        with self._platform_errors(method):
            return getattr(self.client, method)(self.address.collection, *arguments, timeout=self._timeout, **options)

    def version(self) -> tuple[tuple[int, int], str]:
        """Return the version of the server as numbers, (0, 0) if they are not known, and as it tells it.

        Raises:
            PlatformError: If Milvus cannot be reached.
        """
        with self._platform_errors("tell its version"):
            told = str(self.client.get_server_version(timeout=self._timeout))
        found = _VERSION.match(told)
        return (int(found[1]), int(found[2])) if found else (0, 0), told

    @contextmanager
    def _platform_errors(self, action: str) -> Iterator[None]:
        """Turn errors of pymilvus and gRPC into one line, without the tracebacks that pymilvus logs."""
        logger = logging.getLogger("pymilvus")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        except Exception as error:
            import grpc
            from pymilvus.exceptions import MilvusException

            if not isinstance(error, (MilvusException, grpc.RpcError, grpc.FutureTimeoutError, OSError)):
                raise
            message = " ".join(str(getattr(error, "message", "") or error).split())[:300]
            raise PlatformError(
                f"Milvus at {self.address.uri} failed to {action.replace('_', ' ')}: {message}; "
                "check that it runs, its address and its log"
            ) from None
        finally:
            logger.setLevel(level)


def require_packages(lite: bool) -> None:
    """Check that packages are installed whose versions support binary vectors.

    Raises:
        PlatformError: If a package is missing or unsuitable; the message says what to install.
    """
    if installed("pymilvus") is None:
        raise PlatformError("Milvus needs pymilvus, which is not installed; run: pip install 'kinbits[milvus]'")
    if not lite:
        return
    remedy = "run: pip install 'kinbits[milvus-lite]'"
    found = installed("milvus-lite")
    if found is None:
        raise PlatformError(f"a local Milvus file needs milvus-lite, which is not installed; {remedy}")
    if int(found.split(".")[0]) >= 3:
        raise PlatformError(f"milvus-lite {found} does not support binary vectors, 2.5 does; {remedy}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pkg_resources  # noqa: F401
        except ImportError:
            raise PlatformError(
                f"milvus-lite {found} needs pkg_resources, which setuptools 81 and later lack; {remedy}"
            ) from None


def _server(text: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(text)
        port = parts.port or _PORT
    except ValueError as error:
        raise UsageError(f"{text!r} is not an address ({error}); {_FORM}") from None
    if not parts.hostname:
        raise UsageError(f"{text!r} has no host; {_FORM}")
    return parts, port


def _collection(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"collection {name!r}: give letters, digits and underscores, no digit first; {_FORM}")
    return name


def _require_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise PlatformError(f"{path.parent} is not a folder; create it, or choose another one for {path.name}")
