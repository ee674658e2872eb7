from .rows import FewLabels
from .run import Job, check_labels, fit, image_backbone
from .task import Task

__all__ = [
    "FewLabels",
    "Job",
    "Task",
    "check_labels",
    "fit",
    "image_backbone",
]
