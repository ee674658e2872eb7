"""What can be learned with, listed without importing it: the files of methods are read, not run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from kinbits._util import call_values, class_expressions, registered_classes, value_of

if TYPE_CHECKING:
    from kinbits.methods.base import Method

PACKAGE = "kinbits.methods"
TRAITS = ("baseline", "supervision", "multi_label", "reads_text", "views", "reads_maps", "drop_last", "can_pretrain")


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter of a method: a keyword-only argument of its ``__init__``.

    Attributes:
        name: Of the argument.
        kind: Its annotation, as it is written.
        default: Its default value.
    """

    name: str
    kind: str
    default: Any


@dataclass(frozen=True)
class MethodInfo:
    """What a method is, without its class.

    Attributes:
        name: The registered name.
        docstring: Of the class: summary, formulas, arguments, paper.
        baseline: Whether it is no published method but a plain baseline.
        supervision: What it learns from: ``"labels"``, ``"pairs"`` or ``"none"``.
        multi_label: Whether it takes sets of labels.
        reads_text: Whether it learns from images with texts.
        views: Number of random views of each image that it learns from.
        reads_maps: Whether it reads feature maps.
        drop_last: Whether it gets no smaller last batch.
        can_pretrain: Whether it can train a backbone or another method's head.
        recipe: How it is trained by default, by the names of `Recipe`'s fields.
        parameters: Its hyper-parameters.
    """

    name: str
    docstring: str
    baseline: bool
    supervision: str
    multi_label: bool
    reads_text: bool
    views: int
    reads_maps: bool
    drop_last: bool
    can_pretrain: bool
    recipe: Mapping[str, Any]
    parameters: tuple[Parameter, ...]

    @property
    def codes_name(self) -> str:
        """What its codes are called: "bits", unless a parameter tells of product codes or scaled codes."""
        names = {parameter.name for parameter in self.parameters}
        return "product codes" if "words" in names else "scaled codes" if "bits_per_dim" in names else "bits"

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.docstring.partition("\n")[0]

    @property
    def group(self) -> str:
        """Group in lists: "training-free", "unsupervised", "baselines", "supervised", or "images and texts"."""
        if self.baseline:
            return "baselines"
        if self.reads_text:
            return "images and texts"
        if self.supervision != "none":
            return "supervised"
        return "unsupervised" if self.recipe["epochs"] else "training-free"

    @classmethod
    def from_class(cls, method: type[Method]) -> Self:
        """Describe a class."""
        traits = {name: getattr(method, name) for name in TRAITS}
        doc = inspect.cleandoc(method.__doc__ or "")
        return cls(method.name, doc, **traits, recipe=vars(method.recipe), parameters=tuple(parameters(method)))

    @classmethod
    def from_source(cls, name: str, module: str, class_name: str) -> Self:
        """Describe a class by the file that defines it, which is not run.

        Raises:
            LookupError: If the file does not define the class.
            ValueError: If the class computes what a listing needs.
        """
        found = class_expressions(module, class_name)
        traits = {trait: value_of(found[trait]) for trait in TRAITS}
        doc = inspect.cleandoc(value_of(found["__doc__"]))
        return cls(
            name, doc, **traits, recipe=_recipe(found["recipe"]), parameters=tuple(_arguments(found["__init__"]))
        )


def parameters(cls: type[Any]) -> list[Parameter]:
    """List the hyper-parameters of a method or the like: the keyword-only arguments of its ``__init__``."""
    signature = inspect.signature(cls.__init__)
    return [
        Parameter(p.name, str(p.annotation), p.default)
        for p in signature.parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    ]


@cache
def method_files() -> Mapping[str, tuple[str, str]]:
    """Return module and class of each method that kinbits brings, by name."""
    return registered_classes(PACKAGE, "register")


def _recipe(expression: ast.expr) -> dict[str, Any]:
    """Return the values of ``Recipe(...)``, the defaults included."""
    fields = class_expressions(f"{PACKAGE}.base", "Recipe")
    defaults = {name: value_of(value) for name, value in fields.items() if not name.startswith("__")}
    return defaults | call_values(expression)


def _arguments(init: ast.expr) -> Iterator[Parameter]:
    assert isinstance(init, ast.Lambda)
    for arg, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        kind = ast.unparse(arg.annotation) if arg.annotation else ""
        yield Parameter(arg.arg, kind, inspect.Parameter.empty if default is None else value_of(default))
