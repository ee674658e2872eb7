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
    """A verb that is a command itself, the first one, and has further verbs. The name of the first is never typed."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse a further verb if the arguments begin with one, and otherwise the first command in place of it."""
        first, *further = self.commands
        if args and args[0] in further:
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[first].make_context(info_name, args, parent, **extra)
