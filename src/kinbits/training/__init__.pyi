from .defending import defence_record
from .feature_set import FeatureSet
from .hardware import check_hardware
from .history import History, defence_text, epochs_text, validation_text
from .pixel_set import PixelReader, PixelSet
from .pretraining import check_pretraining, pretrain, pretraining_settings, views_needed
from .settings import TrainingSettings
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
    "defence_record",
    "defence_text",
    "epochs_text",
    "held_out_relevance",
    "mark_nearest",
    "pretrain",
    "pretraining_settings",
    "train",
    "validation_text",
    "views_needed",
]
