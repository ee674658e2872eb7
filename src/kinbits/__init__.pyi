from . import (
    attacks,
    backbones,
    bench,
    data,
    defences,
    encoding,
    errors,
    evaluation,
    fitting,
    hamming,
    heads,
    index,
    labelling,
    methods,
    metrics,
    model,
    robustness,
    sklearn,
    testing,
    training,
    tuning,
)
from .data import Dataset, LabelSpace, Splits, list_protocols, load_protocol, open_dataset
from .errors import ArtefactError, DataError, KinbitsError, PlatformError, UsageError
from .evaluation import Report, evaluate
from .fitting import fit
from .index import BatchHits, Hits, Index
from .methods import list_methods
from .model import HashModel
from .tuning import TuneResult, tune

__all__ = [
    "ArtefactError",
    "BatchHits",
    "DataError",
    "Dataset",
    "HashModel",
    "Hits",
    "Index",
    "KinbitsError",
    "LabelSpace",
    "PlatformError",
    "Report",
    "Splits",
    "TuneResult",
    "UsageError",
    "attacks",
    "backbones",
    "bench",
    "data",
    "defences",
    "encoding",
    "errors",
    "evaluate",
    "evaluation",
    "fit",
    "fitting",
    "hamming",
    "heads",
    "index",
    "labelling",
    "list_methods",
    "list_protocols",
    "load_protocol",
    "methods",
    "metrics",
    "model",
    "open_dataset",
    "robustness",
    "sklearn",
    "testing",
    "training",
    "tune",
    "tuning",
]

__version__: str
