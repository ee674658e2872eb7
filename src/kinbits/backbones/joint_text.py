"""Text halves of CLIP and SigLIP, whose embeddings are compared with those of the image half."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from kinbits.backbones import hub
from kinbits.backbones.allowed import JOINT_FAMILIES, JOINT_TEXT_FAMILIES
from kinbits.backbones.registry import register_backbone
from kinbits.backbones.text import TextBackbone, read_tokenizer
from kinbits.errors import ArtefactError

_CLASSES = {"clip_text_model": "CLIPTextModelWithProjection", "siglip_text_model": "SiglipTextModel"}


@register_backbone("hf-joint-text:")
class HFJointText(TextBackbone):
    """The text half of a CLIP or SigLIP model: ``hf-joint-text:NAME`` or ``hf-joint-text:./folder``.

    An embedding t of a text is scaled to unit length, and can be moved to the image features f of the same model::

        f' = r (t / |t| - m_text) + m_image

    Images and texts lie in two narrow cones of the joint space, with a gap between their means (W. Liang et al., "Mind
    the Gap: Understanding the Modality Gap in Multi-modal Contrastive Representation Learning", NeurIPS 2022). A head
    that was trained on images centres them, so it reads texts only after the gap is closed. `align` sets m_text, the
    mean of unit embeddings of many texts; m_image, the mean of image features; and r, their mean length. Before,
    features are t / |t|.

    CLIP reads its embedding at the end of the text, before the padding, which is therefore not masked. SigLIP was
    trained on texts that were padded to the full length, without a mask.

    Args:
        model: The network.
        name: As in `Backbone`.
        tokenizer: From `read_tokenizer`, or zeros of the same length.
        licence: As in `Backbone`.
        pretrained: As in `Backbone`.
        aligned: Whether m_text, m_image and r are set, or are to be loaded.

    Attributes:
        text_mean: m_text, float32 ``(d,)``.
        image_mean: m_image, float32 ``(d,)``.
        length: r, float32 of no dimension.
    """

    text_mean: Tensor
    image_mean: Tensor
    length: Tensor

    def __init__(
        self, model: Any, name: str, tokenizer: Tensor, licence: str, *, pretrained: bool, aligned: bool = False
    ) -> None:
        config = model.config
        width = config.projection_dim if config.model_type == "clip_text_model" else config.projection_size
        super().__init__(model, name, tokenizer, licence, feature_dim=width, pretrained=pretrained)
        self.aligned = aligned
        self.register_buffer("text_mean", torch.zeros(width))
        self.register_buffer("image_mean", torch.zeros(width))
        self.register_buffer("length", torch.ones(()))

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load the text half of a model on the hub or in a folder.

        Raises:
            ArtefactError: If it is no CLIP or SigLIP model, or its weights or tokenizer are missing or damaged.
            PlatformError: If it cannot be downloaded.
        """
        source = os.path.expanduser(argument)
        config = hub.tower_config(hub.read_config(source, JOINT_FAMILIES), "text_config")
        model, missing = hub.pretrained(_model_class(config.model_type), source, config)
        if missing:
            raise hub.incomplete(source, missing)
        tokenizer = _tokenizer(source, config)
        return cls(model, cls.key + argument, tokenizer, hub.licence(source), pretrained=True).eval()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture; the weights include the tokenizer and what `align` set."""
        fields = hub.config_object(config["config"], JOINT_TEXT_FAMILIES)
        model = hub.build(_model_class(fields.model_type), fields)
        tokenizer = torch.zeros(int(config["tokenizer_bytes"]), dtype=torch.uint8)
        known = {"pretrained": config["pretrained"], "aligned": bool(config["aligned"])}
        return cls(model, config["name"], tokenizer, config["licence"], **known)

    def architecture(self) -> dict[str, Any]:
        """Return what `TextBackbone` returns, and whether it is aligned."""
        return {**super().architecture(), "aligned": self.aligned}

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return token ids of texts, cut at the model's limit.

        Args:
            texts: n texts; an empty text is allowed.

        Returns:
            ``input_ids``, int64 ``(n, t)``: padded to the longest text for CLIP, and to the limit for SigLIP.
        """
        return {"input_ids": super().tokenize(texts)["input_ids"]}

    def forward(self, input_ids: Tensor) -> Tensor:  # type: ignore[override]
        """Return features ``(n, d)``, as described in the class.

        Args:
            input_ids: int64 ``(n, t)`` from :meth:`tokenize`.
        """
        output = self.network(input_ids=input_ids)
        embedding = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
        return self.length * (normalize(embedding, dim=1) - self.text_mean) + self.image_mean

    @torch.no_grad()
    def align(self, text_mean: Tensor, image_mean: Tensor, length: float) -> Self:
        """Move the features of texts to those of images, and return self.

        Args:
            text_mean: m_text, float ``(d,)``.
            image_mean: m_image, float ``(d,)``.
            length: r.
        """
        self.text_mean.copy_(text_mean)
        self.image_mean.copy_(image_mean)
        self.length.fill_(length)
        self.aligned = True
        return self


def _model_class(family: str) -> Any:
    import transformers

    return getattr(transformers, _CLASSES[family])


def _tokenizer(source: str, config: Any) -> Tensor:
    """Return the tokenizer, with the padding of the family.

    CLIP finds the end of a text by its token, with which many tokenizers also pad: another one leaves a single end.
    """
    if hub.side_file(source, "tokenizer.json") is not None:
        kind = "PreTrainedTokenizerFast"
    elif hub.side_file(source, "vocab.json") is not None:
        kind = "AutoTokenizer"
    else:  # transformers would make an empty tokenizer
        raise ArtefactError(f"'{source}' has no tokenizer.json, which its texts need; copy it from the model's source")
    if config.model_type == "clip_text_model":
        return read_tokenizer(source, config, kind, pad_id=0)
    return read_tokenizer(source, config, kind, fixed=True)
