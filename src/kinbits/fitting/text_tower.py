"""The text tower of a model that was fitted on images alone, where the image backbone has a text half."""

from __future__ import annotations

import copy
import warnings

import torch

from kinbits._util import Modality, reporter
from kinbits.backbones import class_captions, extract
from kinbits.data import as_texts
from kinbits.errors import ArtefactError, KinbitsError
from kinbits.fitting.job import Job
from kinbits.heads import moments
from kinbits.model import Tower


def text_tower(job: Job, image: Tower) -> dict[Modality, Tower]:
    """Return a text tower with a copy of the image head, so that words find images; nothing where there can be none.

    The image backbone has to be the image half of CLIP or SigLIP, and frozen: a tower that was trained no longer meets
    its other half. Texts are aligned with the training images (`kinbits.backbones.joint_text.HFJointText`). Their mean
    is that of the names of ImageNet's classes as captions.

    Args:
        job: The run, which read no texts.
        image: The trained image tower.

    Warns:
        UserWarning: If there is a text half, but it cannot be used.
    """
    if "text" in job.backbones or not job.train.frozen:
        return {}
    try:
        text = job.backbones["image"].text_half()
        if text is None:
            return {}
        if text.feature_dim != image.head.features:
            raise ArtefactError(f"texts have {text.feature_dim} features, and images {image.head.features}")
        with reporter("computing features of texts", job.settings.training.progress) as report:
            texts = extract(as_texts(class_captions()), text, cache=job.settings.features.cache, progress=report)
    except KinbitsError as error:
        warnings.warn(f"words will not find images of this model: {error}", stacklevel=3)
        return {}
    text_mean = torch.from_numpy(texts.array.astype("float64").mean(0))
    image_mean, _ = moments(job.train.chunks(), text.feature_dim)
    lengths = torch.cat([chunk.norm(dim=1) for chunk in job.train.chunks()])
    text.align(text_mean, image_mean, float(lengths.mean()))
    return {"text": Tower(text, copy.deepcopy(image.head))}
