"""Small random models, saved as the hub saves them."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {"size": {"height": 32, "width": 32}, "resample": 3, **HALF},
    "clip": {"size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": 32, **HALF},
    "siglip": {"size": {"height": 32, "width": 32}, **HALF},
    "dinov2": {
        "size": {"shortest_edge": 48},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
    "resnet": {"size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3},
    "convnext": {"size": {"shortest_edge": 64}},
    "swin": {"size": {"height": 32, "width": 32}},
}
START, END = 52, 53  # tokens of CLIP's texts
_TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def save_random(kind: str, folder: Path) -> Path:
    """Save a tiny model of a kind with random weights; return its folder."""
    torch.manual_seed(0)
    _model(kind).save_pretrained(folder)
    if kind in ("bert", "siglip"):
        _word_tokenizer(folder)
    elif kind == "clip":
        _letter_tokenizer(folder)
    if kind in PROCESSORS:
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[kind]))
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- tiny\n---\n# Tiny\n")
    return folder


def _model(kind: str) -> Any:
    import transformers as t

    patches = {**_TINY, "image_size": 32, "patch_size": 8}
    text = {**_TINY, "vocab_size": 50, "max_position_embeddings": 16}
    letters = {**text, "vocab_size": END + 1, "bos_token_id": START, "eos_token_id": END}
    configs = {
        "vit": lambda: t.ViTConfig(**patches),
        "dinov2": lambda: t.Dinov2Config(**patches),
        "clip": lambda: t.CLIPConfig(text_config=letters, vision_config=patches, projection_dim=10),
        "siglip": lambda: t.SiglipConfig(text_config=text, vision_config=patches),
        "bert": lambda: t.BertConfig(**text),
        "resnet": lambda: t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]),
        "convnext": lambda: t.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "swin": lambda: t.SwinConfig(
            image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
        ),
    }
    return t.AutoModel.from_config(configs[kind]())


def _letter_tokenizer(folder: Path) -> None:
    from transformers import CLIPTokenizer

    letters = [letter + end for end in ("", "</w>") for letter in string.ascii_lowercase]
    vocabulary = {token: n for n, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)


def _word_tokenizer(folder: Path) -> None:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "red",
        "dress",
        "two",
        "cats",
        "on",
        "mat",
        "the",
    ]
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
