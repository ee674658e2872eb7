"""kinbits encode: codes of a collection as a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, bytes_text, facts, note, print_json, shell, skipped_json, skipped_text
from kinbits.cli.source import COLUMNS, DATA_HELP, ModalityOption, Source


@app.command()
@COLUMNS.add_after("output")
def encode(
    model: Annotated[Path, typer.Argument(help="Folder of a model.", show_default=False)],
    data: Annotated[str, typer.Argument(help=DATA_HELP, show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="CODES.parquet", help="The file to write.")],
    modality: ModalityOption = "image",
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Write the codes of a collection to a Parquet file.

    The file has the columns id, code and metadata. Images that cannot be read
    are left out and listed. An interrupted run continues where it stopped
    when the same command is given again.
    """
    from kinbits.encoding import check_codes_path, default_cache, encode_to_file
    from kinbits.model import HashModel

    check_codes_path(output)
    loaded = HashModel.from_pretrained(model)
    dataset = Source(data, **columns).open("database")
    cache = default_cache(dataset) if modality == "image" else None
    try:
        written = encode_to_file(loaded, dataset, output, modality=modality, cache=cache, progress=True)
    except KeyboardInterrupt:
        note("the same command continues where it stopped")
        raise
    if written.resumed:
        note(f"continued after {written.resumed:,} of {len(dataset):,}")
    if as_json:
        skipped = skipped_json(written.skipped)
        print_json({"codes": output, "rows": written.rows, "bits": written.bits, "skipped": skipped})
        return
    facts(
        {
            "codes": f"{output} ({bytes_text(output.stat().st_size)})",
            "rows": f"{written.rows:,} of {written.bits} bits",
            "skipped": skipped_text(written.skipped, dataset.ignored),
            "next": shell("kinbits", "index", "create", output.with_suffix(".index"), output),
        }
    )
