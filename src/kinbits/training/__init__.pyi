from .feature_set import FeatureSet
from .loop import History
from .pixel_set import PixelReader, PixelSet
from .pretraining import check_pretraining, pretrain, views_needed
from .settings import TrainingSettings
from .trainer import check_hardware, train
from .training_set import TrainingSet

__all__ = [
    "FeatureSet",
    "History",
    "PixelReader",
    "PixelSet",
    "TrainingSet",
    "TrainingSettings",
    "check_hardware",
    "check_pretraining",
    "pretrain",
    "train",
    "views_needed",
]
