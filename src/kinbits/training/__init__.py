"""The one trainer: method, data and settings in, trained method out."""

from kinbits.training._config import Training
from kinbits.training._pretraining import pretrain
from kinbits.training._run import History
from kinbits.training._sets import FeatureSet, Pixels, PixelSet
from kinbits.training._trainer import train

__all__ = ["FeatureSet", "History", "PixelSet", "Pixels", "Training", "pretrain", "train"]
