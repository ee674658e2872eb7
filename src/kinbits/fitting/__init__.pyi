from .backbones import image_backbone
from .job import Job
from .run import fit
from .settings import FeatureSettings, FitSettings, SupervisionSettings

__all__ = [
    "FeatureSettings",
    "FitSettings",
    "Job",
    "SupervisionSettings",
    "fit",
    "image_backbone",
]
