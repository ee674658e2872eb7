from .backbones import image_backbone
from .job import Job, choose_method, recommendation
from .recommended import AUTO, Recommendation, recommended_method
from .run import fit
from .settings import FeatureSettings, FitSettings, SupervisionSettings

__all__ = [
    "AUTO",
    "FeatureSettings",
    "FitSettings",
    "Job",
    "Recommendation",
    "SupervisionSettings",
    "choose_method",
    "fit",
    "image_backbone",
    "recommendation",
    "recommended_method",
]
