"""Binary codes as a transformer of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from kinbits._util import named_extras
from kinbits.data import Dataset, open_dataset
from kinbits.errors import UsageError
from kinbits.fitting import fit
from kinbits.methods import describe_method

if TYPE_CHECKING:
    from kinbits.model import HashModel

with named_extras():
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import check_is_fitted, validate_data

OUTPUTS = ("bits", "codes", "logits")


class HashTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn binary codes of feature vectors, for pipelines and grid searches of scikit-learn.

    Args:
        method: Name of a hashing method, see `kinbits.list_methods`; or None for the one that suits the data, see
            `kinbits.fitting.recommended_method`.
        bits: Code length, at least 4.
        output: What `transform` returns: ``"bits"``, uint8 0 and 1 ``(n, bits)``; ``"codes"``, the same bits packed as
            uint8 ``(n, ceil(bits / 8))``; or ``"logits"``, float32 ``(n, bits)``, whose signs are the bits.
        epochs: Passes over the training rows; None takes the method's own number.
        params: Hyper-parameters of the method; None takes their defaults.
        options: Other options of `kinbits.fit` by name, e.g. ``{"batch_size": 64}``; None takes their defaults.
        random_state: Seed of everything random. As usual in scikit-learn, None draws one.

    Attributes:
        model_: The learned `kinbits.HashModel`: save it, or make an index of it.
        n_features_in_: Length of a feature vector.
        feature_names_in_: Names of the columns, if the training data had some.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(100, 16))
        >>> HashTransformer(method="itq", bits=8).fit_transform(X).shape
        (100, 8)
    """

    def __init__(
        self,
        method: str | None = None,
        bits: int = 64,
        *,
        output: Literal["bits", "codes", "logits"] = "bits",
        epochs: int | None = None,
        params: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.method = method
        self.bits = bits
        self.output = output
        self.epochs = epochs
        self.params = params
        self.options = options
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the codes.

        Args:
            X: Feature vectors, float ``(n, d)``.
            y: Class of each row ``(n,)``, or 0/1 for several labels ``(n, C)``. Methods without labels ignore it.

        Raises:
            ValueError: If ``output`` is unknown, or X or y are of no use to a classifier.
            UsageError: If an option of `kinbits.fit` is unknown or out of range, or stands in ``options`` as well.
            DataError: If the method needs labels, and y is None.
        """
        if self.output not in OUTPUTS:
            raise ValueError(f"output is {self.output!r}; use one of {', '.join(OUTPUTS)}")
        made = "bits" if self.method is None else describe_method(self.method).codes_name
        if self.output == "bits" and made != "bits":
            raise ValueError(f"method {self.method} makes {made}, which are no bits; use output='codes'")
        others = self.options or {}
        if own := sorted(others.keys() & {"method", "bits", "epochs", "params", "seed"}):
            names = [{"seed": "random_state"}.get(name, name) for name in own]
            raise UsageError(f"options holds {', '.join(own)}; give {', '.join(names)} to HashTransformer itself")
        X = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = int(check_random_state(seed).randint(2**31))
        self.model_: HashModel = fit(
            _dataset(X, y),
            method=self.method,
            bits=self.bits,
            epochs=self.epochs,
            params=self.params or {},
            seed=seed,
            **{"progress": False, "cache": None, **others},
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return bits, packed codes or logits, as ``output`` says.

        Args:
            X: Feature vectors, float ``(n, d)``.

        Raises:
            NotFittedError: If `fit` was not called.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        encoded = self.model_.encode(X, output=self.output)
        return encoded.view(np.uint8) if self.output == "bits" else encoded

    def __sklearn_tags__(self) -> Any:
        """Describe the transformer: what it returns has a type of its own, whatever the type of X."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        """Number of columns, for ``get_feature_names_out``."""
        bits = self.model_.bits
        if self.output == "logits":
            return int(self.model_.tower().head.outputs)
        return -(-bits // 8) if self.output == "codes" else bits


def _dataset(X: np.ndarray, y: Any) -> Dataset:
    if y is None:
        return open_dataset(X)
    y = np.asarray(y)
    check_classification_targets(y)
    if type_of_target(y) == "multilabel-indicator":
        return open_dataset(X, labels=y.astype(np.uint8))
    names, labels = np.unique(y, return_inverse=True)  # -1 is a class here, not a missing label
    return open_dataset(X, labels=labels.ravel(), label_names=[str(name) for name in names])
