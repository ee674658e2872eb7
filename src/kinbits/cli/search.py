"""kinbits search: the nearest items of an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._errors import DataError, UsageError
from kinbits._words import shortened
from kinbits.cli._app import app
from kinbits.cli._index_options import IndexFolder, ModelOption, WhereOption, opened_index
from kinbits.cli._output import JsonFlag, console, note, print_json, table

if TYPE_CHECKING:
    import numpy as np

    from kinbits.index import Hits
    from kinbits.model import HashModel

_COLUMNS = 4
LONGEST = 120  # characters of a text in a table


@app.command()
def search(
    folder: IndexFolder,
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE]...", help="Images to search with, or one folder of them.", show_default=False),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Search with a text, if the model reads text.", show_default=False)
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="At most so many hits; 10 if not given.", show_default=False)
    ] = None,
    radius: Annotated[
        int | None, typer.Option("--radius", "-r", help="Only hits within so many bits.", show_default=False)
    ] = None,
    where: WhereOption = None,
    rerank: Annotated[
        int | None,
        typer.Option(min=1, help="Re-rank so many by features; the model needs a decoder.", show_default=False),
    ] = None,
    model: ModelOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the items nearest to an image or a text.

    Example: kinbits search photos.index query.jpg -k 5 --where label=cat

    With a model of method rankhash, --rerank 100 puts the 100 nearest codes into
    the order of the features that the model reconstructs from them.
    """
    from kinbits.cli._remembered import model_of

    if bool(images) == bool(text):
        raise UsageError("give images to search with, or --text; one of the two")
    if text and rerank:
        raise UsageError("--rerank compares features of images; leave it out with --text")
    opened_index(folder)  # a missing or damaged index is told before a model is loaded
    loaded = model_of(folder, model)
    opened = opened_index(folder, loaded)
    names, queries = _texts(loaded, text) if text else _images(loaded, images or [], rerank=bool(rerank))
    found = opened.search(queries, k, radius=radius, where=where or None, rerank=rerank or False)
    if as_json:
        print_json([{"query": n, "hits": hits.to_dicts()} for n, hits in zip(names, found, strict=True)])
        return
    for name, hits in zip(names, found, strict=True):
        _show(f'"{_cut(name)}"' if text else name, hits)
    if rerank:
        note("note: ordered by features that the model reconstructs from the codes, not by the distance shown")


def _texts(model: HashModel, texts: list[str]) -> tuple[list[str], np.ndarray]:
    if not all(text.strip() for text in texts):
        raise UsageError("a text to search with is empty; write what to look for")
    return texts, model.encode(text=texts)


def _images(model: HashModel, paths: list[Path], *, rerank: bool) -> tuple[list[str], Any]:
    """Encode what can be read, or leave that to re-ranking, which needs features too.

    What cannot be read is named, and only fatal if nothing is left.
    """
    from kinbits._inputs import as_dataset
    from kinbits.data import readable

    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DataError(f"no such file: {missing[0]}; give paths of images")
    dataset = as_dataset(paths[0] if len(paths) == 1 else [str(path) for path in paths])
    if rerank:
        queries: Any = readable(dataset)
        kept = queries
    else:
        queries, kept = model.encode_readable(dataset)
    if not len(kept):
        first = kept.skipped[0]
        raise DataError(f"none of {len(paths)} images can be read ({first.id}: {first.reason}); give other images")
    for one in kept.skipped:
        note(f"skipped {one.id}: {one.reason}")
    return [str(name) for name in kept.ids], queries


def _show(name: str, hits: Hits) -> None:
    if not len(hits):
        console().print(f"{name}: nothing found")
        return
    rows: list[dict[str, Any]] = hits.to_dicts()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns = sorted(columns, key=lambda column: (column not in ("id", "distance"), column != "label"))
    shown = columns[: 2 + _COLUMNS]
    cells = ([_cell(column, row.get(column)) for column in shown] for row in rows)
    console().print(table(shown, cells, title=name))


def _cell(column: str, value: Any) -> Any:
    """Cut a long text, but no id, which a person may want to copy; JSON holds all of both."""
    return _cut(value) if isinstance(value, str) and column != "id" else value


def _cut(text: str) -> str:
    return shortened(" ".join(text.split()), LONGEST)
