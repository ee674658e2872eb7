"""Methods inside methods: building one as the loss of another."""

from __future__ import annotations

from kinbits.data import LabelSpace
from kinbits.errors import KinbitsError, UsageError
from kinbits.heads import Linear, LinearBatchNorm, Mlp
from kinbits.methods.base import Method, Spec
from kinbits.methods.registry import build_method, get_method, list_methods

OWN = ("step", "parameter_lists", "towers", "train_codes", "outputs", "codes_ready")


def build_base(name: str, spec: Spec, wrapper: str) -> Method:
    """Build a method whose loss reads nothing but the logits of a plain head.

    Args:
        name: A registered method.
        spec: What it is built for.
        wrapper: Name of the method that uses it, for error messages.

    Raises:
        UsageError: If the method cannot be a base; the message names those that can.
        DataError: If the method does not fit the data.
    """
    cls = get_method(name)
    if _fits(cls):
        built = build_method(name, spec)
        if _plain(built):
            return built
    raise UsageError(
        f"'{name}' cannot be the base of {wrapper}, which needs labels, a plain head and a loss on logits alone; "
        f"use one of {', '.join(_bases(spec.label_space is not None and spec.label_space.multi))}"
    )


def _fits(cls: type[Method]) -> bool:
    """Return whether a method defines only its loss and leaves the rest to the trainer."""
    own = all(getattr(cls, name) is getattr(Method, name) for name in OWN)
    images = not (cls.reads_text or cls.views or cls.reads_maps)
    return cls.supervision == "labels" and images and own and cls.loss is not Method.loss and cls.recipe.epochs > 0


def _plain(built: Method) -> bool:
    return type(built.head) in (Linear, LinearBatchNorm, Mlp) and built.ema_decay is None


def _bases(multi: bool) -> list[str]:
    """Name the methods that can be a base, by building them for a toy task."""
    spec = Spec(8, 8, 64, LabelSpace(("a", "b"), multi=multi))
    found = []
    for name in list_methods():
        try:
            if _fits(get_method(name)) and _plain(build_method(name, spec)):
                found.append(name)
        except KinbitsError:
            continue
    return found
