from .backbones import image_backbone
from .job import Job, choose_method, recommendation
from .recommended import AUTO, Recommendation, recommended_method
from .run import fit
from .settings import FeatureSettings, FitSettings, SupervisionSettings
from .sources import as_training_data

__all__ = [
    "AUTO",
    "FeatureSettings",
    "FitSettings",
    "Job",
    "Recommendation",
    "SupervisionSettings",
    "as_training_data",
    "choose_method",
    "fit",
    "image_backbone",
    "recommendation",
    "recommended_method",
]
