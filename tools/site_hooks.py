"""Hooks of MkDocs for the documentation site: pages that are written at build time, and links that leave ``docs``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import site_links
import site_notebooks
import site_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

BY_NAME = ("methods", "attacks", "defences")
WRITTEN: site_pages.Pages = {}
"""The pages of this build that are no files of ``docs``."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write the pages, and replace each pattern in the navigation by its pages."""
    WRITTEN.clear()
    for pages in (
        site_pages.project_pages(),
        site_pages.benchmark_pages(),
        site_pages.command_pages(),
        site_pages.python_pages(),
        site_pages.error_page(),
    ):
        WRITTEN.update(pages)
    docs = Path(config.docs_dir)
    places = [*WRITTEN, *(str(path.relative_to(docs)) for path in docs.rglob("*.md"))]
    places = sorted(place for place in places if not place.endswith("README.md"))
    config.nav = expanded(config.nav, places)
    return config


def expanded(nav: Any, places: list[str]) -> Any:
    """Return the navigation with pages for patterns; each page goes to the longest pattern that names it."""
    owners = [max((one for one in patterns(nav) if fnmatchcase(place, one)), key=len, default="") for place in places]
    pages = {one: [named(place) for place, owner in zip(places, owners, strict=True) if owner == one] for one in owners}

    def walk(one: Any) -> Any:
        if isinstance(one, dict):
            return {title: walk(below) for title, below in one.items()}
        if isinstance(one, list):
            return [page for below in one for page in (pages.get(below) or [] if is_pattern(below) else [walk(below)])]
        return one

    return walk(nav)


def patterns(nav: Any) -> list[str]:
    """Return the entries of the navigation that stand for several pages, ``folder/*`` and ``folder/bench-*``."""
    below = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return [nav] if is_pattern(nav) else [found for one in below for found in patterns(one)]


def is_pattern(entry: Any) -> bool:
    """Return whether an entry of the navigation stands for several pages."""
    return isinstance(entry, str) and entry.endswith("*")


def named(place: str) -> str | dict[str, str]:
    """Return an entry of the navigation: methods and the like by the names that one types, others by their titles."""
    folder, _, file = place.rpartition("/")
    return {file.removesuffix(".md"): place} if folder in BY_NAME else place


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages, the notebooks of the tutorials, and the files that pages link to."""
    for place, text in WRITTEN.items():
        files.append(File.generated(config, place, content=text))
    wanted: set[str] = set()
    for file in list(files.documentation_pages()):
        if file.src_uri in WRITTEN:
            continue
        text = file.content_string
        wanted |= {path for path in site_links.links(text, f"docs/{file.src_uri}")}
        if file.src_uri in site_notebooks.places():
            made = site_notebooks.written(text)
            files.append(File.generated(config, site_notebooks.place(file.src_uri), content=made))
    for path in site_links.PROJECT:
        wanted |= set(site_links.links((site_links.ROOT / path).read_text(), path))
    wanted |= {f"results/{path.name}" for path in (site_links.ROOT / "results").glob("*.csv")}
    for path in sorted(wanted):
        place = site_links.place_of(path)
        if (site_links.ROOT / path).is_file() and files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, abs_src_path=str(site_links.ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt the text of a page; a tutorial gets a link to its notebook, other written pages are ready."""
    place = page.file.src_uri
    if place in WRITTEN:
        return markdown
    text = site_links.with_tabs(site_links.adapt(markdown, f"docs/{place}", place))
    if place.startswith("methods/"):
        return site_pages.with_reference(text, place.removeprefix("methods/").removesuffix(".md"))
    return site_notebooks.with_link(text, place) if place in site_notebooks.places() else text
