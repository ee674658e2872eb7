"""kinbits fit: learn a model."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import locked_output, started_by_torchrun
from kinbits.cli.app import app
from kinbits.cli.fit_report import record, show
from kinbits.cli.flags import Flags
from kinbits.cli.messages import keep_quiet
from kinbits.cli.output import JsonFlag, note, print_json
from kinbits.cli.source import COLUMN_TYPES, COLUMNS, DATA_HELP, Source, columns_of
from kinbits.cli.values import parameters_of, params_of_parts
from kinbits.errors import KinbitsError, PlatformError, UsageError
from kinbits.fitting import FitSettings

if TYPE_CHECKING:
    from kinbits.data import Dataset
    from kinbits.model import HashModel

FLAGS = Flags(FitSettings, but=("cache", "checkpoints", "resume", "progress"))
OF_FILES = {"data": str, "output": Path, **COLUMN_TYPES}


@app.command()
@FLAGS.add_after("output")
@COLUMNS.add_after("as_json")
def fit(
    data: Annotated[str | None, typer.Argument(help=DATA_HELP, show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="MODEL", help="Folder of the model.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="Options from a file; flags win.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a model. Its indexes no longer fit.")] = False,
    as_json: JsonFlag = False,
    **options: Any,
) -> None:
    """Learn a model from a collection.

    Example: kinbits fit photos -o photos-64
    """
    own = {"data": data, "output": output}
    flags = FLAGS.read(options) | columns_of(options) | {name: one for name, one in own.items() if one is not None}
    given = _over(FLAGS.read_file(config, OF_FILES) if config is not None else {}, flags)
    for name, what in (("data", "data: kinbits fit DATA -o MODEL"), ("output", "an output folder: -o MODEL")):
        if given.get(name) is None:
            raise UsageError(f"fit needs {what}")
    columns = {name: given.pop(name) for name in COLUMN_TYPES if name in given}
    source, output = Source(given.pop("data"), **columns), given.pop("output")
    with _together() as first:
        dataset, model = _Fit(source, output, resume, force, first).run(given)
        if as_json and first:
            print_json(record(model, output, dataset))
        elif first:
            show(model, output, dataset, source)


@contextmanager
def _together() -> Iterator[bool]:
    """Join the processes that torchrun started; yield whether this is the first one, which alone writes and prints."""
    if not started_by_torchrun():
        yield True
        return
    from kinbits.training import join_processes, said_before

    rank, total = join_processes()
    if rank:
        keep_quiet()
        warnings.simplefilter("ignore")
    try:
        yield rank == 0
    except KinbitsError as error:
        if said_before(str(error)):
            raise typer.Exit(error.exit_code) from None
        raise type(error)(f"process {rank} of {total}: {error}" if rank else str(error)) from None


def _over(file: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Return what the file gives with what flags give in its place; mappings are joined."""
    joined = {name: {**file[name], **flags[name]} for name in FLAGS.mappings & file.keys() & flags.keys()}
    return {**file, **flags, **joined}


class _Fit:
    """One run of the command, with a folder of checkpoints beside the model."""

    def __init__(self, source: Source, output: Path, resume: bool, force: bool, first: bool) -> None:
        self.source, self.output, self.resume, self.force, self.first = source, output, resume, force, first
        self.checkpoints = output.parent / f".{output.name}.checkpoints"

    def run(self, given: dict[str, Any]) -> tuple[Dataset, HashModel]:
        """Check everything that can be checked, train and save; no other process writes there meanwhile."""
        with locked_output(self.output, "output folder") if self.first else nullcontext():
            return self._run(given)

    def _run(self, given: dict[str, Any]) -> tuple[Dataset, HashModel]:
        from kinbits.fitting import AUTO, choose_method, recommendation
        from kinbits.methods import DEFAULT_BITS
        from kinbits.model import check_target

        # what was asked for when the run began holds for the run that continues it
        if self.first:
            check_target(self.output, replace=self.force or (self.resume and self.checkpoints.exists()))
        params = {name: given.pop(name) for name in FLAGS.mappings & given.keys()}
        settings = FitSettings().with_options(**given, **params_of_parts(given, params))
        dataset = None
        if settings.method in (None, AUTO):
            dataset = self.source.open("train")
            if dataset.has_label.any():  # without labels, a warning says it
                note(str(recommendation(settings, dataset)))
            settings = choose_method(settings, dataset)
        settings = settings.with_options(**_params(settings, params))
        if dataset is None:
            dataset = self.source.open("train")
        with self._kept_checkpoints():
            model = self._train(dataset, settings)
        if settings.bits is None and model.bits != DEFAULT_BITS:
            note(f"no code length is given, so codes have the {model.bits} bits that {model.method['name']} chooses")
        if self.first:
            model.save_pretrained(self.output)
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        return dataset, model

    def _train(self, dataset: Dataset, settings: FitSettings) -> HashModel:
        from kinbits.fitting import fit

        if self.resume and not self.checkpoints.exists():
            note(f"nothing to resume in {self.checkpoints}; starting from the first epoch")
        return fit(dataset, settings, checkpoints=self.checkpoints, resume=self.resume)

    @contextmanager
    def _kept_checkpoints(self) -> Iterator[None]:
        """Keep checkpoints where a run can continue from them, and tell a person who interrupts it."""
        known = self.checkpoints.exists()
        try:
            yield
        except KeyboardInterrupt:
            if self.checkpoints.exists():
                note("the same command with --resume goes on from the last finished epoch")
            raise
        except KinbitsError as error:
            if self.first and not known and not isinstance(error, PlatformError):
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            raise


def _params(settings: FitSettings, given: dict[str, Any]) -> dict[str, Any]:
    from kinbits.methods import get_method

    assert settings.method is not None
    return {"params": parameters_of(get_method(settings.method), given.get("params", {}))}
