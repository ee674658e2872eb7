from .description import ModelDescription, describe_model
from .encode import Encoded, check_encode_options
from .folder import TRAIN_CODES, append_metrics, check_target
from .hash_model import HashModel
from .operating_points import OPERATING_POINTS, with_measured
from .shipped import GENERAL_MODEL, model_folder, shipped_folders, shipped_models, shipped_name
from .tower import Output, Tower

__all__ = [
    "GENERAL_MODEL",
    "OPERATING_POINTS",
    "TRAIN_CODES",
    "Encoded",
    "HashModel",
    "ModelDescription",
    "Output",
    "Tower",
    "append_metrics",
    "check_encode_options",
    "check_target",
    "describe_model",
    "model_folder",
    "shipped_folders",
    "shipped_models",
    "shipped_name",
    "with_measured",
]
