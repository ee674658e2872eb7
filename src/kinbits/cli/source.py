"""DATA arguments: any source that `kinbits.open_dataset` takes, or a part of a named protocol."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinbits._util import full_path
from kinbits.cli.flags import Flags, flag_of
from kinbits.cli.messages import note
from kinbits.cli.values import kinds_of
from kinbits.errors import PlatformError, UsageError, unknown_name

if TYPE_CHECKING:
    from kinbits.data import Dataset, Splits

Part = Literal["train", "query", "database"]
PARTS = ("train", "query", "database")
_OTHERWISE = "options name columns"
_OTHERWISE_LABELS = "--no-labels takes none as labels"

DATA_HELP = "Folder, table, .npy, 'hf:NAME', or a protocol's name."
ModalityOption = Annotated[
    Literal["image", "text"],
    typer.Option(help="What of the data is encoded: its images, or its texts, for a model that reads text."),
]


@dataclass(frozen=True)
class Source:
    """What a person named as data.

    Attributes:
        name: The argument.
        image_column: Column of images or paths. Default: guessed.
        vector_column: Column of vectors. Default: guessed.
        label_column: Column of labels. Default: guessed.
        text_column: Column of texts. Default: guessed.
        id_column: Column of unique names. Default: guessed.
        no_labels: Read no labels from the data. Default: no.
        frames: Frames read. Default: first.
        include_hidden: Read hidden files too. Default: no.
        printed: The guesses that were printed already; shared by copies.
    """

    name: str
    image_column: str | None = None
    vector_column: str | None = None
    label_column: str | None = None
    text_column: str | None = None
    id_column: str | None = None
    no_labels: bool | None = None
    frames: Literal["first", "all"] | None = None
    include_hidden: bool | None = None
    printed: set[str] = field(default_factory=set, compare=False, repr=False)

    def open(self, part: Part) -> "Dataset":
        """Open the data.

        Args:
            part: The part to take of a protocol, unless the name says another (``cifar10-1k-5k-54k:query``).

        Raises:
            UsageError: If it is neither a source nor a protocol.
        """
        protocol, chosen = self._protocol(part)
        if protocol is not None:
            found: Dataset = getattr(self._load(protocol), chosen)
            return replace(found, labels=None, label_space=None) if self.no_labels else found
        self._check_typo()
        return self._open(self.name)

    @property
    def column_flags(self) -> list[str]:
        """The options that name columns, as they were given."""
        given = {flag_of(name): getattr(self, name) for name in COLUMNS.options}
        return [part for flag, value in given.items() if value for part in ([flag] if value is True else [flag, value])]

    @property
    def root(self) -> Path | None:
        """The folder that paths in the data start from; None where it is no file or folder."""
        path = full_path(self.name.removeprefix("folder:"))
        return path if path.is_dir() else path.parent if path.is_file() else None

    def splits(self, seed: int) -> "Splits":
        """Open a protocol, or split labelled data by seed."""
        from kinbits.data import split_folder

        protocol, _ = self._protocol("query")
        if protocol is not None:
            if self.no_labels and not protocol.startswith("folder:"):
                raise UsageError(f"protocol {protocol} is measured by its labels; leave --no-labels out")
            return self._load(protocol, seed)
        return split_folder(self.open("database"), seed=seed)

    def _load(self, protocol: str, seed: int = 0) -> "Splits":
        from kinbits.data import load_protocol, split_folder

        kind, _, path = protocol.partition(":")
        if kind == "folder" and path:
            return split_folder(self._open(path), seed=seed)
        return load_protocol(protocol, seed=seed)

    def _open(self, path: str) -> "Dataset":
        from kinbits.data import open_dataset

        data = open_dataset(
            os.path.expanduser(path),
            image_column=self.image_column,
            vector_column=self.vector_column,
            label_column=self.label_column,
            text_column=self.text_column,
            id_column=self.id_column,
            labels=False if self.no_labels else None,
            frames=self.frames or "first",
            include_hidden=bool(self.include_hidden),
        )
        self._print_guesses(data)
        self._print_left_out(data)
        return data

    def _print_guesses(self, data: "Dataset") -> None:
        """Print once, in one line, what was guessed."""
        line = f"guessed in {data.name}: {'; '.join(data.guesses)}"
        if data.guesses and line not in self.printed:
            self.printed.add(line)
            note(f"{line}; {_OTHERWISE if data.labels is None else _OTHERWISE_LABELS}")

    def _print_left_out(self, data: "Dataset") -> None:
        """Print once what of a folder was left out, and how many links were followed."""
        parts = [("skipped", str(data.left_out)), ("followed", data.left_out.followed)]
        for line in (f"{what} in {data.name}: {text}" for what, text in parts if text):
            if line not in self.printed:
                self.printed.add(line)
                note(line)

    def _protocol(self, part: Part) -> tuple[str | None, str]:
        """Return the protocol that is meant and its part; None where the name is a source of its own."""
        from kinbits.data import list_protocols

        stem, _, last = self.name.rpartition(":")
        name, chosen = (stem, last) if last in PARTS else (self.name, part)
        known = set(list_protocols()) - {"folder", "lists"}
        if name.startswith(("folder:", "lists:")) or (name in known and not Path(name).exists()):
            return name, chosen
        return None, part

    def _check_typo(self) -> None:
        """Offer the nearest protocol for a name that is no path."""
        from kinbits.data import list_protocols

        plain = not Path(self.name).exists() and os.sep not in self.name and ":" not in self.name
        if plain and difflib.get_close_matches(self.name, list_protocols(), n=1, cutoff=0.7):
            raise unknown_name("data folder or protocol", self.name, list_protocols())


COLUMNS = Flags(Source, but=("name", "printed"), panel="Data")
"""The options that name columns, for commands that take data."""

QUERY_COLUMNS = Flags(
    Source, but=("name", "printed", "label_column", "no_labels", "frames", "include_hidden"), panel="Data"
)
"""Those of them that matter for queries."""

IMAGE_COLUMNS = Flags(Source, but=("name", "printed", "vector_column", "text_column"), panel="Data")
"""Those of them that matter for images."""

COLUMN_TYPES = {name: kinds_of(option.type)[0] for name, option in COLUMNS.options.items()}


def columns_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Take the names of columns out of the options of a command, as they are written."""
    return {name: options[name] for name in COLUMNS.options if options[name] is not None}


def writable_folder(folder: Path) -> Path:
    """Make a folder for results, before any work is done for it.

    Raises:
        UsageError: If there is a file.
        PlatformError: If it cannot be made or written.
    """
    import tempfile

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another output folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PlatformError(
            f"cannot write in {folder}: {error.strerror or error}; choose another output folder"
        ) from None
    return folder
