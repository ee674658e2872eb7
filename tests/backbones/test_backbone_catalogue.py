"""Backbones are listed from their files, which are not run for it."""

import subprocess
import sys

import pytest

from kinbits.backbones import backbone_class, describe_backbone, list_backbones, load_backbone, register_backbone
from kinbits.errors import UsageError


@pytest.mark.parametrize("name", ["convnet-small", "efficientnet_lite0", "efficientnet_lite2", "minilm"])
def test_a_backbone_is_what_the_listing_says(name):
    loaded, told = load_backbone(name), describe_backbone(name)
    assert told.reads == loaded.modality
    size = loaded.preprocessing.size if loaded.preprocessing is not None else None
    offer = told.offer
    assert (offer.size, offer.feature_dim, offer.pretrained) == (size, loaded.feature_dim, loaded.pretrained)
    assert offer.licence.lower() == loaded.licence.lower()


@pytest.mark.parametrize("name", [name for name in list_backbones() if name != "timm:"])
def test_a_file_says_what_its_class_says(name):
    told, cls = describe_backbone(name), backbone_class(name)
    assert (told.reads, told.offer) == (cls.modality, cls.offer)


def test_listing_runs_no_file_of_a_backbone():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from kinbits.backbones import describe_backbone, list_backbones\n"
        "print(*(f'{name}={describe_backbone(name).reads}' for name in list_backbones()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = dict(one.rsplit("=", 1) for one in done.stdout.split())
    assert {"efficientnet_lite0", "features", "minilm"} <= told.keys()
    assert told == {name: backbone_class(name).modality for name in told}


def test_the_name_of_a_backbone_is_taken_before_it_is_first_used():
    with pytest.raises(UsageError, match="'minilm' is taken by MiniLM"):
        register_backbone("minilm")(type("Other", (), {}))
