"""The application, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import functools
import inspect
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer

from kinbits._util import named_extras, own_line, parse_int, started_by_torchrun
from kinbits.cli import messages
from kinbits.cli.plain_help import Command, Group
from kinbits.errors import KinbitsError, platform_error

_CODES = {
    "0": "done",
    "1": "a fault in kinbits",
    "2": "wrong usage",
    "3": "wrong data",
    "4": "a model, index or code file is missing, damaged or does not fit",
    "5": "a problem of the machine: permissions, disk, missing package",
    "10": "index sync: the index was changed, or would be",
    "11": "index sync: another one is running on this index",
    "130": "interrupted",
}
EPILOG = "\n".join(
    [
        "Exit codes:",
        *(f"{code:>4}  {meaning}" for code, meaning in _CODES.items()),
        "Results go to standard output, progress and messages to standard error.",
        "Give --quiet and --log before the command: kinbits --quiet fit ...",
        "KINBITS_DEBUG=1 shows where an error came from.",
    ]
)
INTERRUPTED = 130
VERBS = (
    "demo",
    "fit",
    "tune",
    "encode",
    "index",
    "search",
    "serve",
    "dedupe",
    "evaluate",
    "attack",
    "bench",
    "inspect",
    "calibrate",
    "export",
    "methods",
    "backbones",
    "protocols",
    "new",
    "cache",
    "doctor",
)
"""The modules of this package that hold commands, in the order of ``kinbits --help``."""

REMEDIES = (
    ("model", "name the model", "--model"),
    ("attacks", "train it, save it, and give its folder", "kinbits attack fit"),
    ("finetune", "set finetune", "--finetune"),
    ("defence", "leave defence out", "--defence"),
    ("force", "begin again by force", "--force"),
    ("force", "force it to be replaced", "--force"),
    ("upsert", "upsert replaces the items", "--upsert"),
    ("distance", "leave the distance out", "--distance"),
    ("delete_many", "allow many deletions", "--delete-many"),
    ("at", "leave at out", "--at"),
    ("rerank", "leave rerank out", "--rerank"),
    ("rescore", "rescore a number of candidates, e.g. 10", "--rescore 10"),
    ("rescore", "create one that keeps int8 vectors", "kinbits index create --keep int8"),
    ("concepts", "leave concepts out", "--no-concepts"),
    ("text", "Create it with concepts", "kinbits index create --concepts"),
    ("image_column", "images and paths are named by image_column", "--image-column"),
    ("vector_column", "vectors are named by vector_column", "--vector-column"),
    ("targeted", "leave targeted out", "--targeted"),
    ("link", "give either a folder to move files to, or link", "--move-to or --link"),
    ("undo_file", "choose another undo file", "--undo-file"),
    ("transfer", "give its images to this one", "--transfer"),
)
"""For options of a command: the library's words for the remedy of an error, and what to type."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_arguments: list[str] = []
_options: set[str] = set()  # of the command that runs
_HELP = {"help_option_names": ["-h", "--help"]}


class _Ordered(Group):
    """Lists commands in the order of `VERBS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return sorted(super().list_commands(ctx), key=VERBS.index)


class _Typer(typer.Typer):
    """Reads whole numbers as files do, and hands paths to its commands with the home folder for `~`.

    A shell leaves the `~` of ``--model=~/m`` as it is.
    """

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """Register a command."""
        register = super().command(name, cls=Command, **settings)

        def decorated(function: _Function) -> _Function:
            @functools.wraps(function)
            def call(**given: Any) -> Any:
                _options.clear()
                _options.update(given)
                return function(**{name: _home(value) for name, value in given.items()})

            call.__signature__ = _strict(inspect.signature(function, eval_str=True))  # type: ignore[attr-defined]
            register(call)
            return function

        return decorated


def _strict(signature: inspect.Signature) -> inspect.Signature:
    """Let a command refuse ``1_0`` for a whole number, which typer takes for 10."""
    parameters = [one.replace(annotation=_strict_hint(one.annotation)) for one in signature.parameters.values()]
    return signature.replace(parameters=parameters)


def _strict_hint(hint: Any) -> Any:
    kind, *marks = get_args(hint) or (None,)
    if get_origin(hint) is not Annotated or int not in (kind, *get_args(kind)):
        return hint
    option = copy(marks[0])
    option.parser, option.min = _whole(option.min), None
    return Annotated[kind, option]


def _whole(least: float | None) -> Callable[[Any], int]:
    def read(given: Any) -> int:
        try:
            value = given if isinstance(given, int) else parse_int(given)
        except ValueError:
            raise typer.BadParameter(f"'{given}' is not a whole number") from None
        if least is not None and value < least:
            raise typer.BadParameter(f"{value} is below {least}")
        return value

    read.__name__ = "int"  # typer shows it in help
    return read


def _home(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_home(one) for one in value]
    return Path(os.path.expanduser(value)) if isinstance(value, Path) else value


app = _Typer(
    name="kinbits",
    cls=_Ordered,
    help="Short binary codes for images, and exact search among them by Hamming distance.",
    epilog=EPILOG,
    context_settings=_HELP,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def group(name: str, summary: str, cls: type[Group] = Group) -> typer.Typer:
    """Add a verb that has verbs of its own."""
    made = _Typer(cls=cls, help=summary, context_settings=_HELP, no_args_is_help=True, rich_markup_mode="rich")
    app.add_typer(made, name=name)
    return made


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"kinbits {version('kinbits')}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress and no notes; warnings and errors stay.")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append messages with their time to a file.", show_default=False)
    ] = None,
) -> None:
    if quiet:
        messages.keep_quiet()
    if log is not None:
        messages.log_to(_home(log), _arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        arguments: Without the program's name; ``sys.argv`` when None.
    """
    global _arguments
    _arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Read when torch is loaded: waiting threads sleep. On a busy machine, spinning ones made training 7 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = bool(os.environ.get("KINBITS_DEBUG"))
    _write_any_text()
    messages.start()
    with warnings.catch_warnings():
        if not sys.warnoptions and not debug:
            _calm_warnings()
        try:
            code = _run()
        except Exception as error:
            if debug:
                raise
            code = _tell(error)
    messages.end(code)
    if started_by_torchrun():
        from kinbits.training import end_process

        end_process(code)
    return code


def _write_any_text() -> None:
    """Write escapes for what the encoding of a terminal does not have, instead of ending in the middle of a table."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run() -> int:
    """Run the application; its own ways to end become exit codes."""
    try:
        with named_extras():
            result = app(_arguments, prog_name="kinbits", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.Exit as end:
        return int(end.exit_code)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer's own way to end then
            return _reader_gone()
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        return _reader_gone()
    if code == INTERRUPTED:  # newer versions of typer return it instead of raising KeyboardInterrupt
        messages.say("interrupted")
    return code


def _reader_gone() -> int:
    """End quietly: the reader of the output is gone, and Python must not complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _tell(error: Exception) -> int:
    """Print one line about an error and return the exit code that belongs to it."""
    if isinstance(error, KinbitsError):
        messages.say(f"error: {_with_flags(str(error))}")
        return error.exit_code
    formatted: Callable[[], str] | None = getattr(error, "format_message", None)
    if formatted is not None:  # wrong usage, as typer and click tell it
        messages.say(_usage(error, formatted()))
        return 2
    if isinstance(error, OSError):
        refused = platform_error(str(error.filename or "the system refuses"), error)
        messages.say(f"error: {refused}")
        return refused.exit_code
    if isinstance(error, MemoryError):
        messages.say("error: out of memory; give a smaller batch size or less data at once")
        return 5
    own = own_line(error)
    place = f"this is a fault in {own}" if own else "this is a fault in kinbits"
    messages.say(f"error: {type(error).__name__}: {error}; {place}, KINBITS_DEBUG=1 shows where")
    return 1


def _with_flags(message: str) -> str:
    """Name the flag of each remedy that the command offers; the library knows no flags."""
    for option, words, flag in REMEDIES:
        if option in _options:
            message = message.replace(words, f"{words} ({flag})")
    return message


def _usage(error: Exception, message: str) -> str:
    context: Any = getattr(error, "ctx", None)
    if not message:  # a group without a verb has shown its help
        return "error: give a command"
    command = context.command_path if context is not None else "kinbits"
    for option, usage in (("--quiet", "--quiet"), ("--log", "--log FILE")):
        if getattr(error, "option_name", None) == option:
            return f"error: {option} goes before the command: kinbits {usage} COMMAND ..."
    return f"error: {message.rstrip('.')}; see `{command} --help`"


def _calm_warnings() -> None:
    """Show our own warnings as one line, and no other library's."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module=r"kinbits(\..*)?")

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        messages.warn(str(message))

    warnings.showwarning = show
