"""Help of commands without the types of typer that say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand, TyperGroup

_TYPES = {"<bool>", "<str>", "<path>", "<file>"}
"""Types that say less than the name and the help of an argument or flag."""


class _Plain:
    """Leaves types that say nothing out of ``--help``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the arguments and options of a command."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for one in found:
            if "display_type_rich" not in vars(one) and hasattr(one, "display_type_rich"):
                vars(one)["display_type_rich"] = _without_types(one.display_type_rich)
        return found


def _without_types(display: Callable[..., str | None]) -> Callable[..., str | None]:
    def shown(ctx: Any) -> str | None:
        text = display(ctx=ctx)
        return None if text in _TYPES else text

    return shown


class Command(_Plain, TyperCommand):
    """A command with plain help."""


class Group(_Plain, TyperGroup):
    """A group of commands with plain help."""


class GroupOfOne(Group):
    """A verb that is a command itself, and has further verbs: what names none of those runs the first one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the first command before arguments that do not begin with a command."""
        first = next(iter(self.commands))
        return list(super().parse_args(ctx, args if args and args[0] in self.commands else [first, *args]))
