from .backbones import image_backbone
from .job import Job, choose_method
from .run import fit
from .settings import FeatureSettings, FitSettings, SupervisionSettings

__all__ = [
    "FeatureSettings",
    "FitSettings",
    "Job",
    "SupervisionSettings",
    "choose_method",
    "fit",
    "image_backbone",
]
