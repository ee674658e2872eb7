from .loop import History
from .pretraining import check_pretraining, pretrain, views_needed
from .settings import Training
from .trainer import train
from .training_sets import FeatureSet, Pixels, PixelSet, Trainable

__all__ = [
    "FeatureSet",
    "History",
    "PixelSet",
    "Pixels",
    "Trainable",
    "Training",
    "check_pretraining",
    "pretrain",
    "train",
    "views_needed",
]
