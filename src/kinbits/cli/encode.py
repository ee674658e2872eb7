"""kinbits encode: codes of a collection as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits.cli.app import app
from kinbits.cli.encode_cluster import (
    BlockRowsOption,
    ClusterOption,
    CpusOption,
    GpusOption,
    WorkersOption,
    check_cluster_options,
    encode_on_cluster,
)
from kinbits.cli.models import ModelArgument, low_quality_text
from kinbits.cli.output import JsonFlag, bytes_text, facts, note, print_json, shell, skipped_json, skipped_text
from kinbits.cli.source import COLUMNS, DATA_HELP, ModalityOption, Source

if TYPE_CHECKING:
    from kinbits._util import Modality


@app.command()
@COLUMNS.add_after("output")
def encode(
    model: ModelArgument,
    data: Annotated[str, typer.Argument(help=DATA_HELP, show_default=False)],
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", metavar="CODES.parquet", help="The file to write; or a .csv, .hex or .txt of hexadecimal."
        ),
    ],
    modality: ModalityOption = "image",
    cluster: ClusterOption = None,
    block_rows: BlockRowsOption = None,
    workers: WorkersOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
    as_json: JsonFlag = False,
    **columns: Any,
) -> None:
    """Write the codes of a collection to a file.

    The file has the columns id, code and metadata. Images that cannot be read
    are left out and listed. An interrupted run continues where it stopped
    when the same command is given again.

    Codes are hexadecimal in a .csv table, and in a .hex file with one a line.
    A .txt file holds hashes of pdq as ThreatExchange reads them, without those
    of a quality below 50.

    With --cluster, workers of Ray encode to a folder of Parquet files:

    kinbits encode MODEL s3://bucket/photos -o s3://bucket/codes --cluster auto
    """
    options = {
        "block_rows": block_rows,
        "workers": workers,
        "cpus_per_worker": cpus_per_worker,
        "gpus_per_worker": gpus_per_worker,
    }
    check_cluster_options(cluster, output, options)
    if cluster is None:
        _encode_to_file(model, data, Path(output), modality, as_json, columns)
    else:
        encode_on_cluster(model, data, output, cluster, modality, as_json, columns, options)


def _encode_to_file(
    model: Path, data: str, output: Path, modality: Modality, as_json: bool, columns: dict[str, Any]
) -> None:
    from kinbits.encoding import check_codes_path, default_cache, encode_to_file
    from kinbits.model import HashModel

    check_codes_path(output)
    dataset = Source(data, **columns).open("database")  # first, so that a misspelt name is told at once
    loaded = HashModel.from_pretrained(model)
    cache = default_cache(dataset) if modality == "image" else None
    try:
        written = encode_to_file(loaded, dataset, output, modality=modality, cache=cache, progress=True)
    except KeyboardInterrupt:
        note("the same command continues where it stopped")
        raise
    if written.resumed:
        note(f"continued after {written.resumed:,} of {len(dataset):,}")
    if as_json:
        skipped, left_out = skipped_json(written.skipped), dataset.left_out.to_dict()
        low = {} if written.low_quality is None else {"low_quality": written.low_quality}
        found = {"codes": output, "rows": written.rows, "bits": written.bits, **low}
        print_json({**found, "skipped": skipped, "left_out": left_out})
        return
    facts(
        {
            "codes": f"{output} ({bytes_text(output.stat().st_size)})",
            "rows": f"{written.rows:,} of {written.bits} bits",
            "skipped": skipped_text(written.skipped),
            "low quality": low_quality_text(written.low_quality, len(dataset), left_out=output.suffix == ".txt"),
            "next": shell(
                "kinbits", "index", "create", output.with_suffix(".index"), output, *_bits(output, written.bits)
            ),
        }
    )


def _bits(path: Path, bits: int) -> list[str]:
    """Return the option for the length of codes in a file that does not say it."""
    return ["--bits", str(bits)] if path.suffix in (".csv", ".hex") else []
