"""Draw the pictures of the tutorials in docs/tutorials/images, from what the tutorials themselves compute.

Each tutorial is run top to bottom in a folder of its own, as a reader runs it. Then its picture is drawn from the
variables and files that are left. Nothing is chosen by its result.

    python experiments/tutorial_pictures.py [NAME ...]
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from PIL import Image

from kinbits.cli import main as kinbits_command
from kinbits.data import Tile, contact_sheet

mpl.use("Agg")
TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
PICTURES = TUTORIALS / "images"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
WIDTH, QUALITY, LARGEST = 800, 75, 55_000  # pixels, percent, bytes
COLOUR = "#00796b"
Names = dict[str, Any]


def main() -> int:
    """Draw all pictures, or those that are named."""
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or DRAWN:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            DRAWN[name](played(TUTORIALS / f"{name}.md"), PICTURES / f"{name}.jpg")
    return 0


def played(page: Path) -> Names:
    """Run all blocks of a page in the working folder; return its variables."""
    names: Names = {"__name__": page.stem}
    for kind, block in BLOCK.findall(page.read_text()):
        if kind == "python":
            exec(compile(block, page.name, "exec"), names)
        else:
            for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
                if kinbits_command(shlex.split(command, comments=True)[1:]):
                    raise SystemExit(f"{page.name}: {command} failed")
    return names


def small(sheet: Path, picture: Path) -> None:
    """Save a contact sheet as a small JPEG."""
    drawn = Image.open(sheet).convert("RGB")
    drawn.thumbnail((WIDTH, WIDTH))
    for quality in range(QUALITY, 30, -5):
        drawn.save(picture, quality=quality, optimize=True)
        if picture.stat().st_size <= LARGEST:
            return


def photos(names: Names, picture: Path) -> None:
    """Use the sheet that the page draws."""
    small(Path("found.png"), picture)


def products(names: Names, picture: Path) -> None:
    """Search with one product of each kind."""
    searched = ["search", "shop.index", "shop/0.png", "shop/1.png", "shop/2.png", "-k", "7", "--sheet", "found.png"]
    if kinbits_command(searched):
        raise SystemExit("the search failed")
    small(Path("found.png"), picture)


def copies(names: Names, picture: Path) -> None:
    """Show each group."""
    groups = names["report"].of_kind("copies")
    rows = [
        [tile(Image.open(names["folder"] / item.path), item.path, "") for item in (group.representative, *group.others)]
        for group in groups
    ]
    small(contact_sheet(rows, "sheet.png", title="What is kept, and the copies of it", legend=False), picture)


def embeddings(names: Names, picture: Path) -> None:
    """Measure the recall of each stage by the number of bits."""
    from kinbits import Index, fit

    lengths, stages = (8, 16, 32, 48), {}
    for bits in lengths:
        model = fit("vectors.npy", method="itq", bits=bits, progress=False)
        index = Index.create(model=model, keep="int8").add("vectors.npy")
        for stage, share in index.recall(k=10, sample=200, rescore=10).stages.items():
            stages.setdefault(stage, []).append(share)
    figure, axes = chart("bits of a code", "recall of the ten nearest")
    for stage, shares in stages.items():
        axes.plot(lengths, shares, marker="o", label=stage)
    axes.set_xticks(lengths)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
    figure.savefig(picture, pil_kwargs={"quality": QUALITY, "optimize": True})


def many_codes(names: Names, picture: Path) -> None:
    """Count the codes at each distance from a query."""
    from kinbits import hamming

    found = np.zeros(65, dtype=np.int64)
    rng = np.random.default_rng(0)  # as the page draws them
    for _ in range(names["PARTS"]):
        codes = rng.integers(0, 256, (names["ROWS"], 8), dtype=np.uint8)
        found += np.bincount(hamming.distances(names["query"], codes)[0], minlength=65)
    figure, axes = chart("distance in bits", "codes")
    axes.bar(np.arange(65), found, color=COLOUR)
    axes.set_yscale("symlog")
    figure.savefig(picture, pil_kwargs={"quality": QUALITY, "optimize": True})


def own_method(names: Names, picture: Path) -> None:
    """Search for the first query of some classes by the codes of the new method."""
    from kinbits import Index

    splits, images = names["splits"], names["digits"].images
    index = Index.create(model=names["model"]).add(splits.database)
    labels = splits.query.labels
    rows = []
    for label in range(0, 10, 2):
        row = int(np.flatnonzero(labels == label)[0])
        ids = [splits.query.ids[row], *index.search(splits.query.select([row]), k=8)[0].ids]
        rows.append([tile(grey(images[int(one)]), str(names["digits"].target[int(one)]), str(label)) for one in ids])
    sheet = contact_sheet(rows, "sheet.png", title="Nearest digits, by codes of 16 bits")
    small(sheet, picture)


def harden(names: Names, picture: Path) -> None:
    """Search with attacked digits in both models."""
    from kinbits import Index

    rows = []
    for title, model in (("plain", names["plain"]), ("defended", names["hard"])):
        attack = names["build_attack"]("pgd", epsilon=0.1, steps=10)
        changed = names["to_bytes"](attack(names["victim_of"](model), names["queries"])).numpy().transpose(0, 2, 3, 1)
        index = Index.create(model=model).add(names["train"])
        for row in range(2):
            wanted = str(names["digits"].target[1600 + row])
            hits = index.search(changed[row], k=7)
            found = [(Image.fromarray(names["pixels"][int(one)]), names["labels"][int(one)]) for one in hits.ids]
            query = Tile(enlarged(Image.fromarray(changed[row])), (wanted, title))
            rows.append([query, *(tile(image, label, wanted) for image, label in found)])
    small(contact_sheet(rows, "sheet.png", title="Attacked digits, and what two models find"), picture)


def tile(image: Image.Image, text: str, wanted: str) -> Tile:
    """Return a tile, with a frame that says whether its text is the wanted one."""
    return Tile(enlarged(image), (text,), text == wanted if wanted else None)


def grey(pixels: np.ndarray) -> Image.Image:
    """Return a digit of scikit-learn as an image."""
    return Image.fromarray(np.clip(pixels * 16, 0, 255).astype(np.uint8)).convert("RGB")


def enlarged(image: Image.Image) -> Image.Image:
    """Return a tiny image with sharp pixels."""
    return image.resize((96, 96), Image.Resampling.NEAREST) if image.width < 96 else image


def chart(across: str, up: str) -> tuple[Any, Any]:
    """Return an empty chart."""
    figure, axes = pyplot.subplots(figsize=(7, 3.5), dpi=110, layout="constrained")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


DRAWN: dict[str, Callable[[Names, Path], None]] = {
    "photos": photos,
    "products": products,
    "copies": copies,
    "embeddings": embeddings,
    "many-codes": many_codes,
    "own-method": own_method,
    "harden": harden,
}


if __name__ == "__main__":
    os.environ.setdefault("KINBITS_CACHE", tempfile.mkdtemp())
    sys.exit(main())
