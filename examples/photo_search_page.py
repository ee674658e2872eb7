"""Write one HTML page that shows, for each of some photos, the most similar ones of a folder.

    python examples/photo_search_page.py photos page.html

The codes come from kinbits/general-128, which is inside the package: nothing is trained, and nothing is downloaded.
Another model goes after --model.
"""

import argparse
import base64
import html
import io
from pathlib import Path

import kinbits

STYLE = "body{font-family:sans-serif}figure{display:inline-block;margin:4px}figcaption{font-size:12px}img{height:96px}"


def main() -> None:
    """Read the arguments, search, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder of photos")
    parser.add_argument("page", type=Path, help="the HTML file to write")
    parser.add_argument("--model", default="kinbits/general-128", help="a model, or its folder")
    parser.add_argument("--rows", type=int, default=8, help="number of photos that are searched with")
    parser.add_argument("-k", type=int, default=5, help="number of hits of each")
    given = parser.parse_args()

    photos = kinbits.open_dataset(given.photos)
    index = kinbits.Index.create(model=kinbits.HashModel.from_pretrained(given.model)).add(photos)
    step = max(1, len(photos) // given.rows)
    rows = list(range(0, len(photos), step))[: given.rows]
    found = index.search([photos.image(row) for row in rows], k=given.k + 1)

    row_of = {name: row for row, name in enumerate(photos.ids.tolist())}
    lines = [f"<!doctype html><meta charset=utf-8><title>Photos</title><style>{STYLE}</style>"]
    for row, hits in zip(rows, found, strict=True):
        name = photos.ids[row]
        lines.append(f"<h2>{html.escape(name)}</h2>" + figure(photos, row, "the query"))
        others = [hit for hit in hits.to_dicts() if hit["id"] != name][: given.k]
        lines += [figure(photos, row_of[hit["id"]], f"{hit['id']}, {hit['distance']} bits") for hit in others]
    given.page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{given.page}: {len(rows)} photos and their {given.k} nearest of {len(index)}")


def figure(photos: kinbits.Dataset, row: int, caption: str) -> str:
    """Return a small picture with its caption; the picture is inside the page."""
    picture = photos.image(row)
    picture.thumbnail((192, 192))
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG")
    source = base64.b64encode(data.getvalue()).decode()
    words = html.escape(caption)
    return f'<figure><img alt="{words}" src="data:image/jpeg;base64,{source}"><figcaption>{words}</figcaption></figure>'


if __name__ == "__main__":
    main()
