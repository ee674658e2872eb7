"""Models on the hub: fetched by name, uploaded as their folder, with a card that the hub renders."""

import json
import shutil
import sys
from importlib import import_module
from types import SimpleNamespace

import huggingface_hub
import pytest
from model_folders import FEATURES, small_model, transformer_model

from kinbits import ArtefactError, HashModel, PlatformError
from kinbits.model import Tower, describe_model
from kinbits.model.hub import FILES


def _connect_error():
    """The error that the HTTP client of huggingface_hub raises without a network."""
    client = huggingface_hub.errors.HfHubHTTPError.__bases__[0].__module__.partition(".")[0]
    return import_module(client).ConnectError("Connection refused")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder."""
    calls = SimpleNamespace(fetched=[], made=[])

    def snapshot(name, *, revision, allow_patterns):
        calls.fetched.append((name, revision, tuple(allow_patterns)))
        if name == "no/network":
            raise _connect_error()
        if not (tmp_path / "hub" / name).is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("no such repository")
        return str(tmp_path / "hub" / name)

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, name, *, private, exist_ok):
            if name == "no/network":
                raise _connect_error()
            calls.made.append((name, private, exist_ok))
            return f"https://hub/{name}"

        def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
            if repo_id == "no/login":
                raise OSError("401 Unauthorized")
            shutil.copytree(folder_path, tmp_path / "hub" / repo_id)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_pushed_model_comes_back_by_its_name(hub):
    model = small_model()
    assert model.push_to_hub("me/tiny", private=True) == "https://hub/me/tiny"
    assert (hub.made, model.folder) == ([("me/tiny", True, True)], None)
    again = HashModel.from_pretrained("me/tiny", revision="v1")
    assert again.fingerprint == model.fingerprint
    assert hub.fetched == [("me/tiny", "v1", FILES)]
    assert {"config.json", "model.safetensors", "README.md"} < set(FILES)


def test_a_folder_goes_before_a_name_on_the_hub_and_a_path_is_never_fetched(hub, tmp_path):
    small_model().save_pretrained("me/tiny")
    assert HashModel.from_pretrained("me/tiny").folder == tmp_path / "me" / "tiny"
    for missing in (tmp_path / "a", "nothing", "a/b/c"):
        with pytest.raises(ArtefactError, match="no model folder"):
            HashModel.from_pretrained(missing)
    assert hub.fetched == []
    with pytest.raises(ArtefactError, match=r"the hub does not give a model 'no/where' \(no such repository\)"):
        HashModel.from_pretrained("no/where")
    with pytest.raises(
        PlatformError, match=r"'no/login' cannot be uploaded: .* \(401 Unauthorized\); check name, login"
    ):
        small_model().push_to_hub("no/login")


def test_a_hub_that_cannot_be_reached_is_named_with_the_reason(hub):
    with pytest.raises(PlatformError, match=r"cannot be reached \(Connection refused\); check name, login and network"):
        small_model().push_to_hub("no/network")
    with pytest.raises(ArtefactError, match=r"'no/network' \(Connection refused\); check the name and the network"):
        HashModel.from_pretrained("no/network")


def test_a_missing_package_is_named_with_its_extra(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(PlatformError, match=r"pip install 'kinbits\[hf\]'"):
        HashModel.from_pretrained("me/tiny")
    with pytest.raises(PlatformError, match=r"pip install 'kinbits\[hf\]'"):
        small_model().push_to_hub("me/tiny")


def test_what_comes_from_the_hub_is_checked_as_a_folder_is(hub, tmp_path):
    small_model().push_to_hub("me/tiny")
    path = tmp_path / "hub" / "me" / "tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "0" * 64}))
    with pytest.raises(ArtefactError, match="its fingerprint differs"):
        HashModel.from_pretrained("me/tiny")


def test_the_card_has_what_the_hub_reads(tmp_path):
    card = huggingface_hub.ModelCard.load(transformer_model().save_pretrained(tmp_path / "m") / "README.md")
    data = card.data
    assert (data.library_name, data.license, data.pipeline_tag) == ("kinbits", "mit", "image-feature-extraction")
    assert {"image-retrieval", "dcmh", "cross-modal-retrieval"} <= set(data.tags)
    assert "Turns images and texts into" in card.text
    plain = huggingface_hub.ModelCard.load(small_model().save_pretrained(tmp_path / "v") / "README.md")
    assert plain.data.license == "other"  # the vectors' own
    assert (plain.data.pipeline_tag, "image-retrieval" in plain.data.tags) == ("feature-extraction", False)
    assert 'HashModel.from_pretrained("path/of/this/folder")' in plain.text


def test_a_folder_is_described_before_it_is_loaded(tmp_path):
    model = transformer_model()
    found = describe_model(model.save_pretrained(tmp_path / "m"))
    assert (found.bits, found.fingerprint, found.modalities) == (model.bits, model.fingerprint, ("image", "text"))
    with pytest.raises(ArtefactError, match="no model folder"):
        describe_model(tmp_path)
    (tmp_path / "m" / "config.json").write_text('{"bits": "8"}')
    with pytest.raises(ArtefactError, match="does not describe a model"):
        describe_model(tmp_path / "m")


def test_a_model_knows_its_folder_until_it_changes(tmp_path):
    model = small_model()
    assert model.folder is None
    model.save_pretrained(tmp_path / "m")
    assert model.folder == HashModel.from_pretrained(tmp_path / "m").folder == tmp_path / "m"
    assert model.calibrate([[float(n)] * FEATURES for n in range(4)]).folder is None


def test_a_model_prints_as_one_line_and_as_an_escaped_table():
    model = small_model()
    model.method = {"name": "<b>method</b>"}
    model.training = {**model.training, "data": "<script>alert(1)</script>" * 50}
    assert len(repr(model).splitlines()) == 1
    html = model._repr_html_()
    assert "<script>" not in html
    assert "&lt;b&gt;method&lt;/b&gt;" in html
    assert model.fingerprint[:12] in html
    assert len(html) < 2000


def test_towers_are_frozen():
    tower = small_model().tower()
    assert isinstance(tower, Tower)
    assert not tower.training
    assert not any(parameter.requires_grad for parameter in tower.parameters())
