"""kinbits search: the nearest items of an index."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinbits._util import shortened
from kinbits.cli.app import app
from kinbits.cli.index_options import IndexFolder, ModelOption, WhereOption, holds_index, opened_index, required_model
from kinbits.cli.models import note_low_quality
from kinbits.cli.output import JsonFlag, note, print_json
from kinbits.cli.source import QUERY_COLUMNS, ModalityOption, Source
from kinbits.errors import DataError, UsageError

if TYPE_CHECKING:
    from kinbits._util import Modality
    from kinbits.data import Dataset
    from kinbits.index import Hits, Index, Roots
    from kinbits.model import HashModel, Output

_STDIN = Path("-")
_TEXT_FILES = (".txt", ".md", ".json", ".jsonl")
_OUTPUTS: dict[str, Output] = {"hamming": "codes", "asymmetric": "tables"}  # of queries


@dataclass(frozen=True)
class _Queries:
    """What is searched with: the names, the codes or whatever is re-ranked with, and the images, if they are images."""

    names: list[str]
    items: Any
    images: Dataset | None = None


@app.command()
@QUERY_COLUMNS.add_after("modality")
def search(
    folder: IndexFolder,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE",
            help="Images, or one folder, table, .npy or file of codes; - reads an image from standard input. Further "
            "indexes come before them, and are searched as one.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Search with a text, if the model reads text or the index keeps concepts.",
            show_default=False,
        ),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEX", help="Search with a code in hexadecimal digits; repeat for more.", show_default=False
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="Maximum number of hits; 10 if not given.", show_default=False)
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option("--radius", "-r", help="Maximum distance of a hit; in bits for hamming.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Take the radius that `kinbits evaluate --at` found, e.g. precision=0.95.",
            show_default=False,
        ),
    ] = None,
    where: WhereOption = None,
    distance: Annotated[
        Literal["hamming", "asymmetric"] | None,
        typer.Option(
            help="hamming, or asymmetric: the real-valued query against stored bits, which keeps more neighbours. "
            "Default: hamming; asymmetric where codes are no bits.",
            show_default=False,
        ),
    ] = None,
    rerank: Annotated[
        int | None,
        typer.Option(min=1, help="Number of hits to re-rank; the model needs a decoder.", show_default=False),
    ] = None,
    rescore: Annotated[
        str | None,
        typer.Option(
            metavar="TIMES|bound",
            help="Order TIMES x K candidates again by the vectors that the index keeps (create --keep); with codes of "
            "rabitq, bound reads as many as it takes.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES", help="Columns to show, e.g. price,stock; else those that fit.", show_default=False
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw queries and hits as a contact sheet.", show_default=False),
    ] = None,
    model: ModelOption = None,
    modality: ModalityOption = "image",
    as_json: JsonFlag = False,
    **named: Any,
) -> None:
    """Find the items nearest to an image, a text or a code.

    Example: kinbits search photos.index query.jpg -k 5 --where label=cat

    A code needs no model, nor does a file of codes: one that `kinbits encode`
    wrote, packed codes in a .npy file, or lines of hexadecimal digits. In a
    table, each row is a query.

    With a model of method rankhash, --rerank 100 puts the 100 nearest codes into
    the order of the features that the model reconstructs from them.
    """
    from kinbits.cli.hits_sheet import check_sheet, draw_sheet
    from kinbits.cli.hits_table import HitsTable
    from kinbits.encoding import is_codes_file
    from kinbits.hamming import BITS, kind_name
    from kinbits.index import check_times, distance_of, open_many

    further, images = _further_indexes(images or [])
    if [bool(images), bool(text), bool(code)].count(True) != 1:
        raise UsageError("give images to search with, --text or --code; one of the three")
    if at is not None and radius is not None:
        raise UsageError("--at names a radius; leave --radius out")
    if distance == "asymmetric" and (rerank or at):
        raise UsageError("--distance asymmetric takes neither --rerank nor --at, which are of Hamming distances")
    if rescore and (rerank or at or text or radius is not None):
        raise UsageError("--rescore takes images or vectors and -k; leave --rerank, --at, --text and --radius out")
    if text and rerank:
        raise UsageError("--rerank compares features of images; leave it out with --text")
    if modality == "text" and (rerank or rescore):
        raise UsageError("--rerank and --rescore compare features of images; leave them out with --modality text")
    _check_of_table(images or [], [*Source("", **named).column_flags, *["--modality"] * (modality == "text")])
    times = None if rescore is None else check_times(int(rescore) if rescore.isdecimal() else rescore)
    opened = opened_index(folder, model) if not further else open_many([folder, *further], model)
    words = getattr(opened, "words", BITS)
    asked, distance = distance, distance_of(distance, words)
    if words != BITS and (rerank or at):
        raise UsageError(
            f"--rerank and --at are of Hamming distances, and {kind_name(words)} have none; leave them out"
        )
    shown = HitsTable(opened.info()["columns"], columns or [])  # a wrong name is refused before a model is loaded
    if sheet is not None:
        check_sheet(sheet)
    if at is not None:
        radius = required_model(opened).radius(at)
    if code:
        queries = _hexadecimal(code, opened.bits, features=bool(rerank or rescore))
    elif text:
        queries, distance = _texts(text), asked  # which may be compared with concepts, not with codes
        if opened.info().get("concepts") is None:
            required_model(opened)
    elif images and len(images) == 1 and is_codes_file(images[0]):
        queries = _codes(images[0], features=bool(rerank or rescore))  # Index.search refuses them for another distance
    else:
        dataset = _dataset(images or [], named)
        queries = _encoded(
            required_model(opened),
            images or [],
            dataset,
            modality,
            _OUTPUTS[distance],
            features=bool(rerank or rescore),
        )
    if radius is not None and float(radius).is_integer():
        radius = int(radius)  # bits
    options: dict[str, Any] = {"rescore": times} if times else {"rerank": rerank or False, "radius": radius}
    if text:
        options = {"text": text, "radius": radius}
    found = opened.search(queries.items, k, where=where or None, distance=distance, **options)
    if sheet is not None:
        draw_sheet(sheet, folder, queries.names, queries.images, found, _roots_of(opened))
    if as_json:
        print_json(
            [
                {"query": name, "hits": hits.to_dicts(), **_measure(hits)}
                for name, hits in zip(queries.names, found, strict=True)
            ]
        )
        return
    for name, hits in zip(queries.names, found, strict=True):
        shown.show(f'"{shortened(" ".join(name.split()), 120)}"' if text else name, hits)
    if shown.hint:
        note(shown.hint)
    if sheet is not None:
        note(f"sheet written to {sheet}")
    if rerank:
        note("note: ordered by features that the model reconstructs from the codes, not by the distance shown")
    if len(found) and found[0].measure:
        read = sum(hits.vectors_read for hits in found) / len(found)
        counted = f"; {read:,.0f} vectors read{' a query' * (len(found) > 1)}" if times == "bound" else ""
        note(f"distance: {found[0].measure}{counted}")


def _measure(hits: Hits) -> dict[str, Any]:
    """Return what the distances of hits are, where it is not plain."""
    return {"distance": hits.measure, "vectors_read": hits.vectors_read} if hits.measure else {}


def _texts(texts: list[str]) -> _Queries:
    if not all(text.strip() for text in texts):
        raise UsageError("a text to search with is empty; write what to look for")
    return _Queries(texts, None)


def _further_indexes(given: list[Path]) -> tuple[list[Path], list[Path]]:
    """Split arguments into the indexes before the queries, and the queries."""
    for place, path in enumerate(given):
        if not holds_index(path):
            return given[:place], given[place:]
    return given, []


def _roots_of(opened: Index) -> Roots:
    """Return the folders that images of hits are in."""
    info = opened.info()
    if "indexes" in info:
        return {name: list(map(Path, one["image_roots"])) for name, one in info["indexes"].items()}
    return list(map(Path, info["image_roots"]))


def _hexadecimal(codes: list[str], bits: int, *, features: bool) -> _Queries:
    from kinbits.hamming import from_hex

    _refuse_features(features)
    return _Queries(codes, from_hex(codes, bits))


def _refuse_features(wanted: bool) -> None:
    if wanted:
        raise UsageError("--rerank and --rescore compare features; leave them out with codes")


def _codes(path: Path, *, features: bool) -> _Queries:
    from kinbits.encoding import read_codes

    _refuse_features(features)
    found = read_codes(path)
    return _Queries([str(one) for one in found.ids.tolist()], found)


def _check_of_table(paths: Sequence[Path], flags: Sequence[str]) -> None:
    """Refuse options of tables where the queries are in none."""
    if flags and not _is_table(paths):
        raise UsageError(f"{flags[0]} is of a table of queries; give one table, or leave {flags[0]} out")


def _is_table(paths: Sequence[Path]) -> bool:
    """Tell whether the queries are the rows of a table or array, or the files of a folder."""
    from kinbits.data import is_single
    from kinbits.encoding import is_codes_file

    return len(paths) == 1 and paths[0] != _STDIN and not is_single(paths[0]) and not is_codes_file(paths[0])


def _dataset(paths: Sequence[Path], named: Mapping[str, Any]) -> Dataset:
    from kinbits.data import as_dataset

    _check(paths)
    if _is_table(paths):
        return Source(str(paths[0]), no_labels=True, **named).open("query")
    given: list[Any] = [_standard_input() if path == _STDIN else path for path in paths]
    return as_dataset(given[0] if len(given) == 1 else given)


def _encoded(
    model: HashModel, paths: Sequence[Path], dataset: Dataset, modality: Modality, output: Output, *, features: bool
) -> _Queries:
    """Encode what can be read, or leave that to a search which needs features too.

    What cannot be read is named, and only fatal if nothing is left.
    """
    from kinbits.data import readable

    items: Any
    if features:
        items = kept = readable(dataset)
        unreadable = kept.skipped
    else:
        tower = model.tower(modality)
        rates = tower.backbone.rates
        found = model.encode(dataset, modality=modality, output="features" if rates else output, on_error="skip")
        items, kept, unreadable = found.array, dataset.select(found.rows), (*dataset.skipped, *found.skipped)
        if rates:
            note_low_quality(list(map(str, kept.ids)), tower.compute(items, "quality"))
            items = tower.compute(items, output)
    names = {f"image {place}": "standard input" for place, path in enumerate(paths) if path == _STDIN}
    skipped = [(names.get(one.id, one.id), one.reason) for one in unreadable]
    if not len(kept):
        name, reason = skipped[0]
        raise DataError(f"none of {len(paths)} images can be read ({name}: {reason}); give other images")
    for name, reason in skipped:
        note(f"skipped {name}: {reason}")
    return _Queries([names.get(str(name), str(name)) for name in kept.ids], items, kept)


def _check(paths: Sequence[Path]) -> None:
    missing = [path for path in paths if path != _STDIN and not path.exists()]
    if missing:
        raise DataError(f"no such file: {missing[0]}; give paths of images")
    texts = [path for path in paths if path.suffix.lower() in _TEXT_FILES and path.is_file()]
    if texts:
        raise DataError(f"{texts[0]} is a file of text, not an image; to search with a text, write it behind --text")
    if paths.count(_STDIN) > 1:
        raise UsageError("standard input holds one image; give - once")


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read()
    if not data:
        raise DataError("standard input is empty; pipe an image into the command")
    return data
