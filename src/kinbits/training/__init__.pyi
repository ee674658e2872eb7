from .loop import History
from .pretraining import check_pretraining, pretrain, views_needed
from .settings import TrainingSettings
from .trainer import train
from .training_sets import FeatureSet, PixelReader, PixelSet, TrainingSet

__all__ = [
    "FeatureSet",
    "History",
    "PixelReader",
    "PixelSet",
    "TrainingSet",
    "TrainingSettings",
    "check_pretraining",
    "pretrain",
    "train",
    "views_needed",
]
