"""Folders and object stores by their URI, as file systems of pyarrow or fsspec."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from kinbits._util import lazy, named_extras, one_line
from kinbits.errors import DataError, PlatformError, UsageError, platform_error

_READERS = 16  # threads, since each waits for the network
_ENDPOINTS = "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
_TYPICAL = "s3://bucket/prefix, gs://bucket/prefix, file:///folder"


class ListedFile(NamedTuple):
    """A file: path relative to the listed folder, size in bytes, and time of change in ns, -1 if unknown."""

    name: str
    size: int
    time: int


def is_uri(text: object) -> bool:
    """Tell whether a text is a URI such as ``s3://bucket/prefix``, and not a path.

    Example:
        >>> is_uri("s3://photos/2024"), is_uri("photos/2024")
        (True, False)
    """
    return isinstance(text, str) and "://" in text


@dataclass(frozen=True)
class Place:
    """A folder of a file system; it can be pickled, and is opened where it is used.

    Attributes:
        uri: Where the folder is, or a local path.
        endpoint: Address of the S3 service; None for Amazon's, or for other file systems.
    """

    uri: str
    endpoint: str | None = None

    @classmethod
    def from_uri(cls, uri: str) -> Place:
        """Return a place with the endpoint that this process has in ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``.

        Raises:
            UsageError: If the address holds a key or a password.
        """
        _refuse_keys(uri)
        given = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
        return cls(uri, given if urlsplit(uri).scheme in ("s3", "s3a") else None)

    @property
    def name(self) -> str:
        """The last part of the path in the file system, where ``%20`` in a URI is a blank."""
        return self.path().rpartition("/")[2]

    @lazy
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path of the folder in it."""
        with named_extras():
            from pyarrow import ArrowException, fs
        try:
            if not is_uri(self.uri):
                return fs.LocalFileSystem(), self.uri
            if self.endpoint is not None:
                return _s3(self.uri, self.endpoint)
            opened, path = fs.FileSystem.from_uri(self.uri)
            return opened, path
        except (ArrowException, ValueError, NotImplementedError) as error:  # it is none of Arrow's
            return _by_fsspec(self.uri, error)
        except OSError as error:
            raise platform_error(f"{self.uri} cannot be opened", error) from None

    @property
    def file_system(self) -> Any:
        """The `pyarrow.fs.FileSystem`."""
        return self._opened[0]

    def path(self, name: str = "") -> str:
        """Return the path of a file in the file system."""
        folder = self._opened[1].rstrip("/")
        return f"{folder}/{name}" if name else folder

    def list_files(self) -> list[ListedFile]:
        """List all files below the folder, by name.

        Raises:
            DataError: If there is no such folder.
            PlatformError: If it cannot be listed.
        """
        from pyarrow import fs

        folder = self.path()
        try:
            found = self.file_system.get_file_info(fs.FileSelector(folder, recursive=True))
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"there is no folder {self.uri}; check its name") from None
        except OSError as error:
            raise platform_error(f"{self.uri} cannot be listed", error) from None
        files = [one for one in found if one.type == fs.FileType.File]
        return sorted(ListedFile(one.path[len(folder) + 1 :], one.size, one.mtime_ns or -1) for one in files)

    def file_info(self) -> ListedFile | None:
        """Return what is known of the place itself if it is a file, with its whole path; None if it is a folder."""
        from pyarrow import fs

        try:
            (found,) = self.file_system.get_file_info([self.path()])
        except OSError as error:
            raise platform_error(f"{self.uri} cannot be read", error) from None
        return ListedFile(self.name, found.size, found.mtime_ns or -1) if found.type == fs.FileType.File else None

    def parent(self) -> Place:
        """Return the folder that the place is in."""
        return Place(self.uri.rstrip("/").rpartition("/")[0], self.endpoint)

    def open_arrow(self, name: str) -> Any:
        """Open a file for reading at any position, as a `pyarrow.NativeFile`.

        Raises:
            OSError: If it cannot be read.
        """
        return self.file_system.open_input_file(self.path(name))

    def open_stream(self, name: str) -> Any:
        """Open a file for reading from its beginning, as a `pyarrow.NativeFile`.

        Raises:
            OSError: If it cannot be read.
        """
        return self.file_system.open_input_stream(self.path(name), compression=None)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            OSError: If it cannot be read.
        """
        with self.open_stream(name) as stream:
            return bytes(stream.read())

    def read_many(self, names: list[str]) -> list[bytes | None]:
        """Return the bytes of files, read by several threads; None for a file that is no longer there.

        Raises:
            OSError: If the service fails.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(self._read_if_there, names))

    def _read_if_there(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file, complete or not at all: by a single put, or aside and then renamed.

        Raises:
            PlatformError: If it cannot be written.
        """
        target = self.path(name)
        atomic = self.file_system.type_name in ("s3", "gcs", "abfs")  # an object appears when it is complete
        aside = target if atomic else f"{target}.part"
        try:
            if not atomic:
                self.file_system.create_dir(self.path(), recursive=True)
            with self.file_system.open_output_stream(aside) as stream:
                stream.write(data)
            if not atomic:
                self.file_system.move(aside, target)
        except OSError as error:
            raise PlatformError(
                f"{self.uri}/{name} cannot be written ({one_line(error)}); check the address, permissions and space"
            ) from None


def _refuse_keys(uri: str) -> None:
    """Refuse an address with a key, which files and messages would repeat.

    Raises:
        UsageError: If there is one.
    """
    scheme, _, rest = uri.partition("://") if is_uri(uri) else ("", "", "")
    host = rest.partition("/")[0]
    amazon = scheme.lower() in ("s3", "s3a")  # a secret may hold a slash, and the name of a bucket no colon
    if ":" in host.rpartition("@")[0] or (amazon and (":" in host or "@" in host)):
        names = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if amazon else "the environment variables of the service"
        raise UsageError(f"an address of {scheme}:// holds a key or a password; leave it out, and set {names}")


def _s3(uri: str, endpoint: str) -> tuple[Any, str]:
    """Open a bucket of another service than Amazon's; it is asked for no region. As everywhere, %20 is a blank."""
    from pyarrow import fs

    parts, service = urlsplit(uri), urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    opened = fs.S3FileSystem(endpoint_override=service.netloc, scheme=service.scheme, region=region)
    return opened, parts.netloc + unquote(parts.path).rstrip("/")


def _by_fsspec(uri: str, reason: Exception) -> tuple[Any, str]:
    """Open a URI of which pyarrow has no file system of its own.

    Raises:
        UsageError: If fsspec has none either.
        PlatformError: If fsspec, or the package that it needs, is not installed.
    """
    from pyarrow import fs

    scheme = urlsplit(uri).scheme
    try:
        import fsspec

        opened, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise PlatformError(
            f"{uri} needs a package that is not installed ({one_line(error)}); install fsspec and its package for "
            f"{scheme}://"
        ) from None
    except (ValueError, OSError):
        raise UsageError(f"{uri} cannot be opened ({one_line(reason)}); give e.g. {_TYPICAL}") from None
    return fs.PyFileSystem(fs.FSSpecHandler(opened)), path
