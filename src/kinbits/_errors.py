"""The errors that kinbits raises on purpose: what was given, what is allowed, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KinbitsError(Exception):
    """Base of all errors that a user can put right; the command line prints it as one line.

    ``exit_code`` is what the command line returns: 2 wrong usage, 3 wrong data, 4 wrong or damaged
    artefact, 5 the machine (permissions, disk, missing optional package).
    """

    exit_code = 1


class UsageError(KinbitsError, ValueError):
    """An argument is unknown, out of range, or does not fit the others."""

    exit_code = 2


class DataError(KinbitsError, ValueError):
    """The data cannot serve the task: no images, no labels, too few rows, wrong shapes."""

    exit_code = 3


class ArtefactError(KinbitsError, ValueError):
    """A model, index or cache folder is missing, damaged, too new, or belongs to another model."""

    exit_code = 4


class EnvironmentFault(KinbitsError, OSError):  # noqa: N818 - EnvironmentError is a builtin
    """The machine stands in the way: read-only folder, full disk, missing optional package."""

    exit_code = 5


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that no registry holds, with the nearest known names.

    Args:
        kind: What was looked up, in the singular, e.g. ``"method"``.
        given: The name that was asked for.
        known: All names that exist.
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UsageError(f"unknown {kind} '{given}'; {hint}")
