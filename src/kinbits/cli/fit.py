"""kinbits fit: learn a model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinbits._util import CONFIG
from kinbits.cli.app import app
from kinbits.cli.output import JsonFlag, facts, note, print_json, seconds_text, shell, skipped_json, skipped_text
from kinbits.cli.settings import Settings, from_file
from kinbits.cli.source import DATA_HELP, IdColumn, ImageColumn, LabelColumn, NoLabels, Source, TextColumn
from kinbits.cli.values import pairs as named_values
from kinbits.cli.values import parameters_of
from kinbits.errors import KinbitsError, PlatformError, UsageError

if TYPE_CHECKING:
    from kinbits.data import Dataset, Pairs, Skipped
    from kinbits.model import HashModel

_TRAINING, _DATA = "Training", "Data"
WITHOUT_LABELS = "itq"


def _option(*names: str, help: str, default: str, panel: str = _TRAINING, metavar: str | None = None) -> Any:
    return typer.Option(
        *names, help=f"{help} Default: {default}.", show_default=False, rich_help_panel=panel, metavar=metavar
    )


@app.command()
def fit(
    data: Annotated[str | None, typer.Argument(help=DATA_HELP, show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="MODEL", help="Folder of the model.")] = None,
    method: Annotated[
        str | None,
        _option(
            help="See `kinbits methods`, or a .py file.", default="orthohash, or itq without labels", panel="Options"
        ),
    ] = None,
    bits: Annotated[int | None, _option(help="Code length.", default="64", panel="Options")] = None,
    backbone: Annotated[
        str | None, _option(help="See `kinbits backbones`.", default="by the data", panel="Options")
    ] = None,
    image_size: Annotated[
        int | None, _option(help="Side of the input in pixels.", default="by the data", panel="Options")
    ] = None,
    text_backbone: Annotated[
        str | None, _option(help="For methods with text.", default="minilm", panel="Options")
    ] = None,
    finetune: Annotated[
        bool | None,
        _option(
            "--finetune/--frozen",
            help="Train the backbone too.",
            default="frozen if pretrained",
            panel="Options",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        _option(
            "--param",
            metavar="NAME=VALUE",
            help="A parameter of the method; repeat for more.",
            default="the paper's",
            panel="Options",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Options from a file, by their names; flags win.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same settings.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that lies there; indexes made with it no longer fit.")
    ] = False,
    as_json: JsonFlag = False,
    epochs: Annotated[int | None, _option(help="Passes over the data.", default="the method's")] = None,
    batch_size: Annotated[int | None, _option(help="Images a step.", default="the method's")] = None,
    lr: Annotated[float | None, _option(help="Learning rate.", default="the method's")] = None,
    backbone_lr: Annotated[float | None, _option(help="Of a fine-tuned backbone.", default="the method's")] = None,
    seed: Annotated[int | None, _option(help="Of everything random.", default="0")] = None,
    validation: Annotated[
        float | None,
        _option(help="Share held out to choose the best epoch, by labels only if the method has them.", default="0"),
    ] = None,
    patience: Annotated[
        int | None, _option(help="Stop after so many epochs without a better score.", default="never")
    ] = None,
    pretrain: Annotated[
        str | None,
        _option(
            metavar="METHOD",
            help="Train the backbone, or the head before a frozen one, without labels first; e.g. barlow-twins.",
            default="none",
        ),
    ] = None,
    pretrain_epochs: Annotated[int | None, _option(help="Passes of that stage.", default="its method's")] = None,
    augmentation: Annotated[
        str | None,
        _option(metavar="NAME", help="Random changes to images of a trained backbone: weak or crops.", default="weak"),
    ] = None,
    view_augmentation: Annotated[
        str | None,
        _option(
            metavar="NAME",
            help="The same for views; crops neither mirrors nor recolours.",
            default="two_view",
        ),
    ] = None,
    precision: Annotated[str | None, _option(help="32-true, bf16-mixed or 16-mixed.", default="32-true")] = None,
    devices: Annotated[int | None, _option(help="GPUs or processes.", default="1")] = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    no_labels: NoLabels = False,
    labels_fraction: Annotated[
        float | None,
        _option(help="Share of the labels to learn from; the others are hidden.", default="all", panel=_DATA),
    ] = None,
    label_expansion: Annotated[
        str | None,
        _option(
            metavar="NAME",
            help="Guess labels for images that have none first: prl, or pseudo.",
            default="leave them out",
            panel=_DATA,
        ),
    ] = None,
    expansion_param: Annotated[
        list[str] | None,
        _option(
            "--expansion-param",
            metavar="NAME=VALUE",
            help="A parameter of the label expansion; repeat for more.",
            default="its own",
            panel=_DATA,
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        _option(
            "--pairs",
            metavar="PATH",
            help="Similar pairs, for methods that take them: a table, or a folder of COLMAP models; repeat for more.",
            default="from labels",
            panel=_DATA,
        ),
    ] = None,
    min_shared: Annotated[
        int | None, _option(help="Common 3D points of a similar pair.", default="20", panel=_DATA)
    ] = None,
    min_overlap: Annotated[
        float | None,
        _option(help="Their least share of the points of one image.", default="0.1", panel=_DATA),
    ] = None,
) -> None:
    """Learn a model from a collection.

    Example: kinbits fit photos -o photos-64
    """
    given = {name: value for name, value in locals().items() if name in Settings.__dataclass_fields__}
    expansion = named_values(expansion_param or [], "--expansion-param")
    given["no_labels"] = no_labels or None  # a flag that is not there leaves it to the file
    flags = Settings(**{**given, "param": named_values(param or []), "expansion_param": expansion})
    settings = flags.over(from_file(config) if config is not None else Settings())
    if settings.data is None or settings.output is None:
        raise UsageError("fit needs data and an output folder: kinbits fit DATA -o MODEL")
    _Fit(settings, settings.data, settings.output, resume, force).run(as_json)


class _Fit:
    """One run of the command."""

    def __init__(self, settings: Settings, data: str, output: Path, resume: bool, force: bool) -> None:
        self.settings, self.output, self.resume, self.force = settings, output, resume, force
        self.source = Source(
            data,
            settings.label_column,
            settings.text_column,
            settings.image_column,
            settings.id_column,
            bool(settings.no_labels),
        )
        self.checkpoints = output.parent / f".{output.name}.checkpoints"

    def run(self, as_json: bool) -> None:
        """Check everything that can be checked, train, save, tell."""
        from kinbits.methods import get_method
        from kinbits.model import check_target

        check_target(self.output)
        self._check_replacing()
        dataset = self.source.open("train") if self.settings.method is None else None
        method = get_method(self._method_for(dataset))
        if self.settings.epochs == 0 and method.recipe.epochs:
            raise UsageError(f"epochs is 0; it must be positive, since '{method.name}' learns by epochs")
        params = {"params": parameters_of(method, self.settings.param or {}), **self._expansion_params()}
        dataset = dataset or self.source.open("train")
        model = self._train(dataset, params)
        model.save_pretrained(self.output)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        skipped = _all_skipped(dataset, model)
        if as_json:
            print_json(self._record(model, dataset, skipped))
        else:
            self._show(model, dataset, skipped)

    def _method_for(self, dataset: Dataset | None) -> str:
        """Return the method that was named, or else one that the data can teach."""
        if self.settings.method is None:
            unlabelled = dataset is not None and dataset.labels is None and not self.settings.pairs
            if unlabelled:
                told = "no labels are used" if self.settings.no_labels else "the data have no labels"
                note(f"{told}, so the method is {WITHOUT_LABELS}; `kinbits methods` lists others")
            self.settings.method = WITHOUT_LABELS if unlabelled else "orthohash"
        return self.settings.method

    def _check_replacing(self) -> None:
        """Refuse to replace a model, unless that was asked for, now or when the run to go on with began."""
        asked = self.force or (self.resume and self.checkpoints.exists())
        if (self.output / CONFIG).exists() and not asked:
            raise UsageError(
                f"a model lies at {self.output} already; choose another folder, or replace it with --force and make "
                f"its indexes again"
            )

    def _train(self, dataset: Dataset, params: dict[str, Any]) -> HashModel:
        from kinbits.fitting import fit

        known = self.checkpoints.exists()
        if self.resume and not known:
            note(f"nothing to resume in {self.checkpoints}; starting from the first epoch")
        options = self.settings.options() | {
            **params,
            "pairs": self._pairs(dataset),
            "checkpoints": self.checkpoints,
            "resume": self.resume,
        }
        try:
            return fit(dataset, **options)
        except KeyboardInterrupt:
            if self.checkpoints.exists():
                note("the same command with --resume goes on from the last finished epoch")
            raise
        except KinbitsError as error:
            if not known and not isinstance(error, PlatformError):
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            raise

    def _expansion_params(self) -> dict[str, Any]:
        from kinbits.labelling import get_expansion, list_expansions

        given, name = self.settings.expansion_param, self.settings.label_expansion
        if not given:
            return {}
        if name is None:
            raise UsageError(f"--expansion-param goes with --label-expansion: {' or '.join(list_expansions())}")
        return {"expansion_params": parameters_of(get_expansion(name), given)}

    def _pairs(self, dataset: Dataset) -> Pairs | None:
        from kinbits.data import open_pairs

        names = ("min_shared", "min_overlap")
        limits = {name: value for name in names if (value := getattr(self.settings, name)) is not None}
        if self.settings.pairs:
            return open_pairs(self.settings.pairs, dataset, **limits)
        if limits:
            raise UsageError(
                f"--{min(limits).replace('_', '-')} goes with --pairs of a reconstruction, and there are none"
            )
        return None

    def _show(self, model: HashModel, dataset: Dataset, skipped: list[Skipped]) -> None:
        from kinbits.model import CODES

        record = model.training
        loss = f", loss {record['history'][-1]['loss']:.4f}" if record["history"] else ""
        facts(
            {
                "model": self.output,
                "codes": f"{model.bits} bits, {model.method['name']} on {_backbones(model)}",
                "trained on": f"{record['rows']:,} {_unit(dataset)}{_classes(dataset)}",
                "pre-trained": _pretraining_text(record.get("pretraining")),
                "labels": _labels_text(record.get("labels")),
                "pairs": _pairs_text(record.get("pairs")),
                "learned codes": None if model.train_codes is None else self.output / CODES,
                "epochs": f"{record['epochs']}{loss}" if record["epochs"] else None,
                "skipped": skipped_text(skipped, dataset.ignored),
                "time": seconds_text(record["seconds"]),
                "next": self._next(),
            }
        )

    def _next(self) -> str:
        index = self.output.with_name(f"{self.output.name}.index")
        unlabelled = ["--no-labels"] if self.source.no_labels else []
        whole = self.source.name.removeprefix("folder:")  # what is searched is not the training part alone
        return shell("kinbits", "index", "create", index, self.output, whole, *unlabelled)

    def _record(self, model: HashModel, dataset: Dataset, skipped: list[Skipped]) -> dict[str, Any]:
        names = ("rows", "seed", "epochs", "best_epoch", "seconds")
        return {
            "model": self.output,
            "method": model.method["name"],
            "bits": model.bits,
            "backbone": model.towers["image"].backbone.name,
            "classes": dataset.space.classes if dataset.space is not None else None,
            **{name: model.training[name] for name in names},
            "pretrain": model.training.get("pretraining", {}).get("method"),
            **{name: model.training[name] for name in ("labels", "pairs") if name in model.training},
            "loss": model.training["history"][-1]["loss"] if model.training["history"] else None,
            "skipped": skipped_json(skipped),
            "fingerprint": model.fingerprint,
        }


def _all_skipped(dataset: Dataset, model: HashModel) -> list[Skipped]:
    """Join what opening the data left out with what training did; the latter may repeat the former."""
    from kinbits.data import Skipped

    later = (Skipped(one["id"], one["reason"]) for one in model.training["skipped"])
    return list(dict.fromkeys([*dataset.skipped, *later]))


def _backbones(model: HashModel) -> str:
    return " + ".join(tower.backbone.name for tower in model.towers.values())


def _pretraining_text(told: dict[str, Any] | None) -> str | None:
    return None if told is None else f"{told['trained']}, {told['method']}, {told['epochs']} epochs"


def _labels_text(told: dict[str, Any] | None) -> str | None:
    if told is None:
        return None
    guessed = f", {told['pseudo']:,} guessed by {told['expansion']}" if "expansion" in told else ""
    held = f", {told['held']:,} held out" if told["held"] else ""
    return f"{told['true']:,} given{guessed}{held}, see labels.csv"


def _pairs_text(counts: dict[str, int] | None) -> str | None:
    if counts is None:
        return None
    dissimilar = f", {counts['dissimilar']:,} dissimilar" if counts["dissimilar"] else ""
    clusters = f", {counts['clusters']:,} clusters" if counts["clusters"] else ""
    return f"{counts['similar']:,} similar{dissimilar}{clusters}"


def _unit(dataset: Dataset) -> str:
    return "vectors" if dataset.kind == "vector" else "images"


def _classes(dataset: Dataset) -> str:
    if dataset.space is None:
        return ", without labels"
    return f", {dataset.space.classes:,} {'labels' if dataset.space.multi else 'classes'}"
