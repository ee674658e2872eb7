from .defending import defence_record
from .feature_set import FeatureSet
from .hardware import check_hardware
from .history import History, defence_text, epochs_text, validation_text
from .pixel_set import PixelReader, PixelSet
from .pretraining import check_pretraining, pretrain, pretraining_settings, views_needed
from .settings import TrainingSettings
from .torchrun import check_same, end_process, join_processes, said_before
from .trainer import train
from .training_set import TrainingSet
from .validation import held_out_relevance, mark_nearest

__all__ = [
    "FeatureSet",
    "History",
    "PixelReader",
    "PixelSet",
    "TrainingSet",
    "TrainingSettings",
    "check_hardware",
    "check_pretraining",
    "check_same",
    "defence_record",
    "defence_text",
    "end_process",
    "epochs_text",
    "held_out_relevance",
    "join_processes",
    "mark_nearest",
    "pretrain",
    "pretraining_settings",
    "said_before",
    "train",
    "validation_text",
    "views_needed",
]
