"""The description of a network comes from a stranger: it runs no code, and reaches no network."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
import types

import pytest
import torch
from backbone_helpers import save_random
from torch import nn

from kinbits.backbones import Preprocessing, build_backbone, load_backbone
from kinbits.backbones.allowed import IMAGE_FAMILIES, TEXT_FAMILIES, allowed_config
from kinbits.backbones.sealed import sealed
from kinbits.errors import ArtefactError, PlatformError

EXHAUSTIVE = os.environ.get("KINBITS_EXHAUSTIVE") == "1"


class Canary:
    """Unpickled, it leaves a folder."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def canary(tmp_path):
    """A pickle that would run code, and the folder that tells whether it did."""
    path, mark = tmp_path / "weights.bin", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Canary(mark)))
    return path, mark


class Tiny(nn.Module):
    num_features = 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, stride=8)

    def forward_features(self, x):
        return self.conv(x)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


@pytest.fixture
def timm(monkeypatch):
    """What kinbits sees of timm; as in its older versions, checkpoint_path is unpickled."""
    fake = types.ModuleType("timm")
    fake.__version__, fake.calls, fake.extra = "1.0.26", [], lambda: None

    def create_model(arch, pretrained=False, num_classes=0, checkpoint_path=None, **options):
        fake.calls.append((arch, options))
        fake.extra()
        if checkpoint_path or arch.startswith("local-dir:"):
            with open(checkpoint_path or arch.partition(":")[2], "rb") as file:
                pickle.load(file)
        return Tiny()

    fake.create_model, fake.is_model = create_model, lambda arch: arch.partition(".")[0] == "tiny_net"
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


def timm_config(**changes):
    rest = {"name": "timm:tiny_net", "licence": "mit", "pretrained": True}
    return {"backbone": "timm:", "arch": "tiny_net", "options": {}, **rest, **changes} | {
        "preprocessing": Preprocessing(32).to_dict()
    }


def test_a_timm_architecture_is_built_by_its_name(timm):
    built = build_backbone(timm_config(arch="tiny_net.a1_in1k", options={"img_size": 32}))
    assert (built.feature_dim, built.map_shape) == (4, (4, 4, 4))
    assert timm.calls == [("tiny_net.a1_in1k", {"img_size": 32})]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"options": {"checkpoint_path": "CANARY"}}, "img_size alone, not with .*checkpoint_path"),
        ({"options": {"pretrained_cfg": {"file": "CANARY"}}}, "img_size alone"),
        ({"options": {"pretrained_cfg_overlay": {"url": "http://x"}}}, "img_size alone"),
        ({"options": {"img_size": "CANARY"}}, "give a side in pixels"),
        ({"options": {"img_size": 10**9}}, "give a side in pixels"),
        ({"options": ["checkpoint_path"]}, "img_size alone"),
        ({"arch": "local-dir:CANARY"}, "not a name of a timm architecture"),
        ({"arch": "hf-hub:someone/some-model"}, "not a name of a timm architecture"),
        ({"arch": "hf_hub:x"}, "not a name of a timm architecture"),
        ({"arch": "CANARY"}, "not a name of a timm architecture"),
        ({"arch": ["tiny_net"]}, "not a name of a timm architecture"),
        ({"arch": "another_net"}, "knows no architecture 'another_net'"),
    ],
)
def test_nothing_else_reaches_timm(timm, canary, changes, told):
    path, mark = canary
    forged = eval(repr(timm_config(**changes)).replace("CANARY", str(path)))
    with pytest.raises(ArtefactError, match=told):
        build_backbone(forged)
    assert not mark.exists()
    assert timm.calls == []


def test_the_canary_sings(canary):
    # Without this, the tests above could pass because the pickle is harmless.
    pickle.loads(canary[0].read_bytes())
    assert canary[1].exists()


def test_an_older_timm_is_refused(timm):
    timm.__version__ = "1.0.25"
    with pytest.raises(PlatformError, match=r"timm 1.0.25 may run code.*kinbits\[timm\]"):
        build_backbone(timm_config())


@pytest.mark.parametrize(
    ("reach", "told"),
    [
        (lambda path: pickle.loads(path.read_bytes()), "tries to use a pickle"),
        (lambda path: torch.load(path, weights_only=False), "tries to use a pickle"),
        (lambda path: socket.create_connection(("127.0.0.1", 9)), "tries to use the network"),
        (lambda path: socket.gethostbyname("example.org"), "tries to use the network"),
    ],
)
def test_what_a_library_does_with_an_allowed_name_is_refused_too(timm, canary, reach, told):
    path, mark = canary
    if reach.__code__.co_names[0] == "torch":
        torch.save(Canary(mark), path)
    timm.extra = lambda: reach(path)
    with pytest.raises(ArtefactError, match=told):
        build_backbone(timm_config())
    assert not mark.exists()


def test_the_seal_ends_with_its_block_and_holds_in_its_thread_alone(canary):
    path, mark = canary
    with sealed():
        with pytest.raises(ArtefactError):
            pickle.loads(path.read_bytes())
        assert not mark.exists()
        thread = threading.Thread(target=pickle.loads, args=(path.read_bytes(),))
        thread.start()
        thread.join()
    assert mark.exists()
    assert pickle.loads(pickle.dumps(os.fspath)) is os.fspath


VIT = {
    "model_type": "vit",
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}


def hf_config(fields, key="hf:", size=32):
    rest = {"name": "hf:x", "licence": "mit", "pretrained": True, "tokenizer_bytes": 3}
    return {"backbone": key, "config": fields, "preprocessing": Preprocessing(size).to_dict(), **rest}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_type": "timm_wrapper", "model_args": {"checkpoint_path": "x"}}, "type 'timm_wrapper' is not built"),
        ({"model_type": "timm_backbone", "backbone": "resnet18"}, "type 'timm_backbone' is not built"),
        ({"model_type": "maskformer"}, "type 'maskformer' is not built"),
        ({"model_type": "dpt"}, "type 'dpt' is not built"),
        ({"model_type": ["vit"]}, "is not built"),
        ({}, "type None is not built"),
        (["vit"], "is not built"),
        ({**VIT, "attn_implementation": "someone/kernel"}, "sets 'attn_implementation'"),
        ({**VIT, "_attn_implementation": "someone/kernel"}, "sets '_attn_implementation'"),
        ({**VIT, "_attn_implementation_internal": "someone/kernel"}, "sets '_attn_implementation_internal'"),
        ({**VIT, "experts_implementation": "someone/kernel"}, "sets 'experts_implementation'"),
        ({**VIT, "backbone": "facebook/dinov2-small"}, "sets 'backbone'"),
        ({**VIT, "use_pretrained_backbone": True}, "sets 'use_pretrained_backbone'"),
        ({**VIT, "use_timm_backbone": True}, "sets 'use_timm_backbone'"),
        ({**VIT, "backbone_config": {"model_type": "vit"}}, "sets 'backbone_config'"),
        ({**VIT, "backbone_kwargs": {"a": 1}}, "sets 'backbone_kwargs'"),
        ({**VIT, "quantization_config": {"quant_method": "gptq"}}, "sets 'quantization_config'"),
        ({**VIT, "deeper": {"still": [{"use_timm_backbone": True}]}}, "sets 'use_timm_backbone'"),
        ({**VIT, "vision_config": {"model_type": "timm_wrapper"}}, "type 'timm_wrapper' inside another"),
        ({**VIT, "hidden_act": "someone/activation"}, "a path or address in 'hidden_act'"),
        ({**VIT, "hidden_size": 10**9}, "says 1000000000 in 'hidden_size'"),
        ({**VIT, "num_labels": 10**9}, "says 1000000000 in 'num_labels'"),
        ({**VIT, "depths": [10**6, 10**6]}, "says 2000000 in 'depths'"),
        ({**VIT, "hidden_size": "24"}, "cannot"),
        ({**VIT, "hidden_act": "no_such"}, "cannot be read"),
    ],
)
def test_forged_configurations_of_transformers_are_refused(fields, told):
    with pytest.raises(ArtefactError, match=told):
        build_backbone(hf_config(fields))


def test_fields_that_ask_for_nothing_and_older_noise_do_not_matter():
    noise = {"_name_or_path": "/home/me/model", "_attn_implementation_autoset": True, "torch_dtype": "float32"}
    noise |= {"auto_map": {"AutoModel": "evil.Model"}, "architectures": ["Evil"], "use_pretrained_backbone": False}
    assert build_backbone(hf_config({**VIT, **noise})).feature_dim == 24
    assert allowed_config({**VIT, **noise, "vision_config": {"torch_dtype": "x"}}, frozenset({"vit"})) == {
        **VIT,
        "vision_config": {},
    }


def test_a_local_folder_is_loaded_without_the_network(tmp_path, monkeypatch):
    folder = save_random("vit", tmp_path / "vit")

    def refused(*_):
        raise AssertionError("reached for the network")

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    loaded = load_backbone(f"hf:{folder}")
    build_backbone(loaded.config())
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    with pytest.raises(ArtefactError, match="an adapter for another model"):
        load_backbone(f"hf:{folder}")


SAMPLE = {"convnextv2", "dinov3_vit", "swin", "distilbert"}


@pytest.mark.parametrize("family", sorted(IMAGE_FAMILIES | TEXT_FAMILIES if EXHAUSTIVE else SAMPLE))
def test_every_family_on_the_list_is_built_from_its_configuration_alone(family):
    from transformers import AutoConfig

    from kinbits.backbones.hub import plain_config

    fields = AutoConfig.for_model(family)
    fields = fields.vision_config if family in ("clip", "siglip") else fields
    key = "hf:" if family in IMAGE_FAMILIES else "hf-text:"
    with torch.device("meta"):  # published sizes: no memory
        built = build_backbone(hf_config(plain_config(fields), key, 224))
    assert built.feature_dim >= 200
