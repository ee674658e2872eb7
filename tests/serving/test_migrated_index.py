"""A service follows an index to another model: each answer is wholly of one of the two."""

import asyncio
import shutil
import threading

import httpx2
import numpy as np
import pytest
import torch
from live import WRITE, encoded, live, picture

from kinbits.backbones import load_backbone
from kinbits.heads import build_head
from kinbits.index import Index, migrate, roll_back
from kinbits.model import HashModel, Tower

SWAPS = 4


@pytest.fixture
def moving(place, tmp_path):
    """An index of photos, and a second model of the same length."""
    shutil.copytree(place / "photos", tmp_path / "photos")
    shutil.copytree(place / "model", tmp_path / "model")
    torch.manual_seed(1)
    head = build_head({"name": "linear", "features": 384, "bits": 32})
    HashModel({"image": Tower(load_backbone("convnet-small"), head)}).save_pretrained(tmp_path / "second")
    Index.create(tmp_path / "photos.index", tmp_path / "photos", model=tmp_path / "model")
    return tmp_path


class Asker(threading.Thread):
    """Asks again and again, until it is told to stop; notes answers that are wrong."""

    def __init__(self, url, ask):
        super().__init__(daemon=True)
        self.http, self.ask, self.done, self.wrong, self.answers = httpx2.Client(base_url=url), ask, False, [], 0

    def run(self):
        with self.http:
            while not self.done:
                fault = self.ask(self.http)
                self.answers += 1
                if fault:
                    self.wrong.append(fault)


def test_no_answer_mixes_two_models(moving):
    first = Index.open(moving / "photos.index")
    ids = first.ids().tolist()
    image = encoded(picture(3))
    models = {name: HashModel.from_pretrained(moving / name) for name in ("model", "second")}
    codes = {
        model.fingerprint: dict(zip(ids, model.encode([moving / "photos" / one for one in ids]).tolist(), strict=True))
        for model in models.values()
    }
    expected = {model.fingerprint: np.ravel(model.encode(picture(3))).tobytes().hex() for model in models.values()}

    def several(http):
        found = http.post("/v1/search", json={"queries": [{"id": one} for one in ids[:6]], "k": 3, "codes": True})
        if found.status_code != 200:
            return found.text
        hits = [hit for one in found.json()["results"] for hit in one["hits"]]
        own = [one["hits"][0]["distance"] for one in found.json()["results"]]
        of = [all(list(bytes.fromhex(hit["code"])) == known[hit["id"]] for hit in hits) for known in codes.values()]
        return None if any(of) and own == [0] * 6 else found.text

    def encode(http):
        found = http.post("/v1/encode", content=image, headers={"Content-Type": "image/png"}).json()
        return None if found["codes"] == [expected[found["fingerprint"]]] else str(found)

    def by_image(http):
        found = http.post("/v1/search?k=1&codes=true", content=image, headers={"Content-Type": "image/png"})
        if found.status_code != 200:
            return found.text
        (hit,) = found.json()["hits"]
        of = [list(bytes.fromhex(hit["code"])) == known[hit["id"]] for known in codes.values()]
        return None if any(of) and hit["distance"] == 0 else found.text

    def change(http):
        headers = {"Authorization": f"Bearer {WRITE}"}
        found = http.request("DELETE", "/v1/items", json={"where": 'id = "none"'}, headers=headers)
        return None if found.status_code in (200, 400, 503) else found.text

    with live(moving, {"photos": moving / "photos.index"}) as running:
        askers = [Asker(running.url, ask) for ask in (several, encode, by_image, by_image, change)]
        for asker in askers:
            asker.start()
        for number in range(SWAPS):
            if number % 2:
                roll_back(moving / "photos.index", wait=10)
            else:
                migrate(moving / "photos.index", moving / "second", wait=10)
        for asker in askers:
            asker.done = True
        for asker in askers:
            asker.join(30)
    assert [asker.wrong for asker in askers] == [[], [], [], [], []]
    assert min(asker.answers for asker in askers) > 2


def test_a_change_of_the_old_index_is_refused_and_told(moving):
    with live(moving, {"photos": moving / "photos.index"}) as running:
        served = running.service.indexes["photos"]
        kept, served.refresh = served.refresh, lambda: False  # it has not looked yet
        migrate(moving / "photos.index", moving / "second")
        served.refresh = kept
        headers = {"Authorization": f"Bearer {WRITE}"}
        item = {"id": "new", "code": "00" * 4}
        found = httpx2.post(f"{running.url}/v1/items", json={"items": [item]}, headers=headers, timeout=30)
        assert found.status_code in (200, 503)
        if found.status_code == 503:
            assert found.json()["type"] == "urn:kinbits:replaced"
            assert int(found.headers["Retry-After"]) >= 1
            assert len(Index.open(moving / "photos.index")) == 13


def test_an_old_model_is_encoded_with_until_nobody_asks(moving):
    """A request that began before a swap may ask for the features of the old model after it."""
    with live(moving, {"photos": moving / "photos.index"}) as running:
        service = running.service
        old = service.indexes["photos"].index.model
        migrate(moving / "photos.index", moving / "second")
        service.indexes["photos"].refresh()

        async def after():
            try:
                return service._encoder_of(old), service._encoder_of(service.indexes["photos"].index.model)
            finally:
                for _, encoder in service._encoders.values():
                    encoder.stop()

        first, second = asyncio.run(after())
        assert first is not second
        service._encoders.clear()
