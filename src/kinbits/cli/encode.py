"""kinbits encode: codes of a collection as a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, bytes_text, facts, note, print_json, shell, skipped_json, skipped_text
from kinbits.cli.source import (
    DATA_HELP,
    IdColumn,
    ImageColumn,
    LabelColumn,
    ModalityOption,
    NoLabels,
    Source,
    TextColumn,
)


@app.command()
def encode(
    model: Annotated[Path, typer.Argument(help="Folder of a model.", show_default=False)],
    data: Annotated[str, typer.Argument(help=DATA_HELP, show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="CODES.parquet", help="The file to write.")],
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    no_labels: NoLabels = False,
    modality: ModalityOption = "image",
    as_json: JsonFlag = False,
) -> None:
    """Write the codes of a collection to a Parquet file.

    The file has the columns id, code and metadata. Images that cannot be read
    are left out and listed. An interrupted run goes on where it stopped when
    the same command is given again.
    """
    from kinbits.cli.codes_file import Parts, check_target
    from kinbits.cli.encoding import BATCH, encoded
    from kinbits.model import HashModel

    check_target(output)
    loaded = HashModel.from_pretrained(model)
    source = Source(data, label_column, text_column, image_column, id_column, no_labels)
    dataset = source.open("database")
    job = {
        "bits": loaded.bits,
        "fingerprint": loaded.fingerprint,
        "model": str(model.resolve()),
        "root": None if source.root is None else str(source.root),
        "data": dataset.fingerprint,
        "modality": modality,
        "batch": BATCH,
    }
    parts = Parts(output, job)
    first = parts.done
    if first:
        note(f"going on after {min(first * BATCH, len(dataset)):,} of {len(dataset):,}")
    for number, batch in enumerate(encoded(loaded, dataset, first=first, modality=modality), start=first):
        parts.write(number, batch)
    rows, skipped = parts.merge(dataset.skipped)
    if as_json:
        print_json({"codes": output, "rows": rows, "bits": loaded.bits, "skipped": skipped_json(skipped)})
        return
    facts(
        {
            "codes": f"{output} ({bytes_text(output.stat().st_size)})",
            "rows": f"{rows:,} of {loaded.bits} bits",
            "skipped": skipped_text(skipped, dataset.ignored),
            "next": shell("kinbits", "index", "create", output.with_suffix(".index"), output),
        }
    )
