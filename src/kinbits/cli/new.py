"""kinbits new: files to start from."""

from __future__ import annotations

from typing import Annotated

import typer

from kinbits.cli.app import group
from kinbits.cli.output import note

new = group("new", "Write files to start from.")


@new.callback()
def _kinds() -> None:
    """Write files to start from."""


@new.command()
def method(
    name: Annotated[str, typer.Argument(help="Lower-case words joined by '-', such as my-loss.", show_default=False)],
) -> None:
    """Write a method that trains as it is, its test and its page.

    The files are written here, or to their places if this is a checkout of kinbits.
    """
    from kinbits.testing import new_method

    made = new_method(name)
    print(
        f"wrote {made.method}, {made.test} and {made.page}\n"
        f"try it:    kinbits fit DATA -o MODEL --method {made.argument}\n"
        f"check it:  python -m pytest {made.test}"
    )
    if made.checkout and not made.known:
        note("this is the kinbits of another folder, which does not know the new file; install that of this checkout")
    if made.checkout:
        print(f"list it:   - [`{name}`]({made.page.name}): why to choose it   (in docs/methods/README.md)")
