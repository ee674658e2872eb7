"""kinbits export: the model as an ONNX graph."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, bytes_text, facts, print_json
from kinbits.cli.source import writable_folder
from kinbits.errors import UsageError


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a model.", show_default=False)],
    output: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Write a model as an ONNX graph.

    The graph takes bytes and gives logits. It is compared with PyTorch before
    it counts as done.
    """
    from kinbits.model import HashModel

    if output.suffix != ".onnx" or output.is_dir():
        raise UsageError(f"the graph goes to an ONNX file, not to {output}; give a name that ends in .onnx")
    writable_folder(output.parent)
    loaded = HashModel.from_pretrained(model)
    try:
        logging.disable(logging.WARNING)  # the exporter warns about packages that are not needed
        agreement = loaded.export(output)
    finally:
        logging.disable(logging.NOTSET)
    size = output.stat().st_size
    if as_json:
        print_json({"graph": output, "bytes": size, "agreement": agreement})
        return
    facts(
        {
            "graph": f"{output} ({bytes_text(size)})",
            "agreement": f"{agreement:.2%} of the bits equal PyTorch's on random images",
            "use": "input pixels uint8 (n, 3, size, size), output logits (n, bits); a bit is 1 where its logit is >= 0",
        }
    )
