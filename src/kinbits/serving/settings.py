"""Settings of a service."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kinbits._util import Range, Repeated, check_options
from kinbits.errors import UsageError

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeSettings:
    """Where a service listens, who may use it, and how much one request may take.

    Attributes:
        host: Address to listen at. Another one than this machine's own needs a token file.
        port: Port to listen at; 0 takes a free one.
        token_file: File with the token that every request needs. Default: none is needed.
        write_token_file: File with the token to add and delete items and to decide on duplicates. Default: none may.
        no_auth: Let everybody search who reaches the address.
        allowed_hosts: Names under which the service may be asked without a token. Default: those of this machine.
        cors_origins: Origins of other pages that may ask, such as https://photos.example. Default: none.
        image_roots: Folders that images may be read from. Default: those of the indexes.
        duplicates: Report of duplicates to review at /duplicates; INDEX=REPORT if there are several indexes.
            Default: none.
        max_upload_mb: Largest body of a request, in megabytes.
        max_megapixels: Largest image, in megapixels.
        max_k: Largest number of hits of a query.
        max_hits: Largest number of hits of a request, over all its queries.
        max_batch: Largest number of queries, or of items, of a request.
        max_queue: Number of requests at a time, those that wait included; more are refused with status 429.
        timeout: Seconds that a request may take.
        workers: Processes that decode images.
        worker_memory_mb: Memory that one of them may take, in megabytes.
        encode_batch: Largest number of images that are encoded together.
        encode_wait_ms: Time to wait for further images to encode, in milliseconds.
        refresh: Seconds between two looks for changes of an index.

    Raises:
        UsageError: If a value has the wrong type or is out of range, or another machine could search without a token.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Range(0, 65535)] = 8000
    token_file: Path | None = None
    write_token_file: Path | None = None
    no_auth: bool = False
    allowed_hosts: Annotated[Sequence[str], Repeated("NAME")] = ()
    cors_origins: Annotated[Sequence[str], Repeated("ORIGIN")] = ()
    image_roots: Annotated[Sequence[str], Repeated("FOLDER")] = ()
    duplicates: Annotated[Sequence[str], Repeated("REPORT")] = ()
    max_upload_mb: Annotated[float, Range(0, without_least=True)] = 20.0
    max_megapixels: Annotated[float, Range(0, 128, without_least=True)] = 64.0
    max_k: Annotated[int, Range(1)] = 1000
    max_hits: Annotated[int, Range(1)] = 100_000
    max_batch: Annotated[int, Range(1)] = 1000
    max_queue: Annotated[int, Range(1)] = 64
    timeout: Annotated[float, Range(0, 3600, without_least=True)] = 30.0
    workers: Annotated[int, Range(1)] = 2
    worker_memory_mb: Annotated[int, Range(512)] = 2048
    encode_batch: Annotated[int, Range(1)] = 16
    encode_wait_ms: Annotated[float, Range(0)] = 2.0
    refresh: Annotated[float, Range(0, 3600, without_least=True)] = 1.0

    def __post_init__(self) -> None:
        for name in ("allowed_hosts", "cors_origins", "image_roots", "duplicates"):
            if isinstance(getattr(self, name), str):  # one name, not the letters of several
                object.__setattr__(self, name, (getattr(self, name),))
        check_options(self)
        if self.open_to_strangers and not self.no_auth:
            raise UsageError(
                f"at {self.host}, other machines could search without a token; give token_file, or no_auth if "
                "everybody may who reaches the address"
            )

    @property
    def open_to_strangers(self) -> bool:
        """Whether other machines can search without a token."""
        return self.host not in LOCAL and self.token_file is None

    @property
    def needs_host(self) -> bool:
        """Whether requests must name a known host, so that no other page can ask through a name of its own."""
        return self.token_file is None and (self.host in LOCAL or bool(self.allowed_hosts))

    def knows_host(self, header: str) -> bool:
        """Tell whether a ``Host`` header names this service."""
        name = header.rsplit(":", 1)[0] if header.rpartition(":")[2].isdecimal() else header
        return name.strip("[]").lower() in {*LOCAL, self.host, *map(str.lower, self.allowed_hosts)}
