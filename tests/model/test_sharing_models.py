"""Models and data sets in threads, forked and spawned processes, and pickles: the same codes, and no hanging."""

import asyncio
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

import kinbits
from kinbits.backbones import cached_forward, fast_forward, load_backbone
from kinbits.heads import build_head
from kinbits.model import HashModel, Tower

FORK = multiprocessing.get_context("fork")
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
PATIENCE = 30  # seconds until a child counts as hanging


@pytest.fixture(scope="module")
def model():
    data = kinbits.open_dataset(IMAGES, labels=np.arange(8) % 2)
    return kinbits.fit(data, method="lsh", bits=32, backbone="convnet-small", cache=None, progress=False)


@pytest.fixture(scope="module")
def codes(model):
    return model.encode(IMAGES)


@pytest.fixture
def two_threads():
    """OpenMP with a thread that a forked child does not have."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.randn(400, 400) @ torch.randn(400, 400)
    yield
    torch.set_num_threads(before)


def in_child(function, *given):
    """Return what a function gives in a forked child; fails if it hangs."""
    got, sent = FORK.Pipe(duplex=False)
    child = FORK.Process(target=lambda: sent.send(function(*given)))
    child.start()
    try:
        assert got.poll(PATIENCE), "the forked child hangs"
        return got.recv()
    finally:
        child.kill()
        child.join()


def test_a_forked_child_encodes(model, codes, two_threads):
    np.testing.assert_array_equal(in_child(model.encode, IMAGES), codes)
    assert in_child(torch.get_num_threads) == 1
    assert torch.get_num_threads() == 2


def test_a_child_that_is_forked_while_threads_encode_can_encode(model, codes, two_threads):
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            model.encode(IMAGES)

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            np.testing.assert_array_equal(in_child(model.encode, IMAGES), codes)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_child_that_is_forked_while_an_image_is_opened_can_open_one(monkeypatch):
    entered, leave = threading.Event(), threading.Event()
    real = Image.open

    def slow(*given, **named):
        entered.set()
        leave.wait(0.5)  # the fork waits for this
        return real(*given, **named)

    encoded = pickle.dumps(None)  # anything: that it is no image is known after it was opened
    monkeypatch.setattr(Image, "open", slow)
    thread = threading.Thread(target=_opened, args=(encoded,))
    thread.start()
    entered.wait(PATIENCE)
    assert in_child(_opened, encoded) == "not an image, or its header is damaged"
    leave.set()
    thread.join()


def _opened(encoded):
    from kinbits.data import BadImage, decode

    try:
        return decode(encoded)
    except BadImage as error:
        return error.reason


def test_a_forked_child_makes_its_own_graph(model):
    backbone = model.towers["image"].backbone
    own = cached_forward(backbone, 1, threads=None, engine="torch")
    assert cached_forward(backbone, 1, threads=None, engine="torch") is own
    assert in_child(lambda: cached_forward(backbone, 1, threads=None, engine="torch") is own) is False


@pytest.mark.parametrize("change", ["written", "replaced", "moved back"])
def test_a_graph_of_other_weights_is_never_used(change):
    backbone = load_backbone("convnet-small")
    before = cached_forward(backbone, 1, threads=None, engine="torch")
    first = next(backbone.parameters())
    with torch.no_grad():
        if change == "written":
            first.mul_(2)
        elif change == "replaced":
            first.data = first.data * 2
        else:
            backbone.half().float()
    pixels = np.full((1, 3, 32, 32), 99, np.uint8)
    after = cached_forward(backbone, 1, threads=None, engine="torch")
    assert after is not before
    np.testing.assert_array_equal(after(pixels), fast_forward(backbone, engine="torch")(pixels))
    with torch.no_grad():
        first.data.mul_(3)  # PyTorch does not count this: many rows ask the hash
    assert cached_forward(backbone, 128, threads=None, engine="torch") is not after


def test_threads_encode_at_once():
    """Two threads are inside the network at the same time: with a lock, neither would get past the other."""
    model = HashModel(
        {"image": Tower(load_backbone("convnet-small"), build_head({"name": "linear", "features": 384, "bits": 16}))}
    )
    meet = threading.Barrier(2, timeout=PATIENCE)

    class Meeting(torch.nn.Module):
        def __deepcopy__(self, memo):
            return self

        def forward(self, x):
            meet.wait()
            return x

    model.towers["image"].backbone.add_module("meeting", Meeting())
    model.towers["image"].backbone.register_forward_pre_hook(lambda module, given: module.meeting(*given))
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(model.encode, [IMAGES[:1], IMAGES[:1]])
    np.testing.assert_array_equal(one, two)


def test_threads_and_coroutines_get_the_same_codes(model, codes):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.encode, list(IMAGES) * 3))
    np.testing.assert_array_equal(np.concatenate(found), np.tile(codes, (3, 1)))

    async def all_at_once():
        return await asyncio.gather(*(asyncio.to_thread(model.encode, image) for image in IMAGES))

    np.testing.assert_array_equal(np.concatenate(asyncio.run(all_at_once())), codes)


def test_a_pickled_model_is_the_model(model, codes):
    cached_forward(model.towers["image"].backbone, 1, threads=None, engine="torch")
    again = pickle.loads(pickle.dumps(model))
    assert (again.fingerprint, again.method, again.metrics) == (model.fingerprint, model.method, model.metrics)
    np.testing.assert_array_equal(again.encode(IMAGES), codes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "minilm"])
def test_bundled_backbones_pickle(name):
    backbone = load_backbone(name)
    given = IMAGES[:2] if backbone.modality == "image" else ["a dog", "a cat on a mat"]
    if backbone.modality == "image":
        given = np.stack([backbone.preprocessing(Image.fromarray(image)) for image in given])
    expected = fast_forward(backbone, engine="torch")(given)
    again = pickle.loads(pickle.dumps(backbone))
    assert again.fingerprint == backbone.fingerprint
    np.testing.assert_array_equal(fast_forward(again, engine="torch")(given), expected)


def sources(folder):
    for row in range(3):
        Image.fromarray(IMAGES[row]).save(folder / f"{row}.png")
    np.save(folder / "images.npy", IMAGES)
    (folder / "table.csv").write_text("path,label\n" + "".join(f"{row}.png,a\n" for row in range(3)))
    yield kinbits.open_dataset(IMAGES, labels=np.arange(8))
    yield kinbits.open_dataset(IMAGES.astype(np.float32).reshape(8, -1)[:, :5])
    yield kinbits.open_dataset(folder / "images.npy")
    yield kinbits.open_dataset(folder / "table.csv")
    yield kinbits.open_dataset([folder / f"{row}.png" for row in range(3)]).select([2, 0])


def test_pickled_data_sets_are_the_data_sets(tmp_path):
    for data in sources(tmp_path):
        for one in (data, data.select([1, 0])):
            again = pickle.loads(pickle.dumps(one))
            assert again.ids.tolist() == one.ids.tolist()
            assert (again.kind, again.fingerprint) == (one.kind, one.fingerprint)
            if one.kind == "image":
                assert again.image(1).tobytes() == one.image(1).tobytes()


class Rows(torch.utils.data.Dataset):
    """What a PyTorch user writes around a data set."""

    def __init__(self, data, model):
        self.data, self.model = data, model

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        image = self.data.image(row)
        return np.array(image), self.model.encode(image)[0]


def test_workers_of_a_data_loader_read_and_encode(model, codes, two_threads):
    data = kinbits.open_dataset(IMAGES)
    loader = torch.utils.data.DataLoader(
        Rows(data, model), batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=PATIENCE
    )
    batches = list(loader)
    np.testing.assert_array_equal(np.concatenate([images.numpy() for images, _ in batches]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([found.numpy() for _, found in batches]), codes)


def encode_rows(model, data):
    return model.encode(data), data.fingerprint


def test_a_spawned_process_takes_a_model_and_a_data_set(model, codes):
    data = kinbits.open_dataset(IMAGES)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found, fingerprint = pool.submit(encode_rows, model, data).result(timeout=4 * PATIENCE)
    np.testing.assert_array_equal(found, codes)
    assert fingerprint == data.fingerprint
