"""Small trees in the layouts that the field's data sets are published in, and what a protocol should find in them."""

import json
import pickle

import numpy as np
from scipy.io import savemat
from tiny import picture

IN_SHARED = {
    "brain-tumor-mri",
    "cifar10-10k-50k",
    "cifar10-10k-5k-50k",
    "cifar10-1k-5k-54k",
    "cifar10-1k-5k-59k",
    "cifar100-hierarchy",
    "clothing-small",
    "fashion-mnist",
    "fashion-products",
    "grocery-store",
    "pneumonia-mnist",
    "twemoji",
}
SIZES = {
    "nuswide-21": {"train": 4, "query": 3, "database": 9, "classes": 3},
    "nuswide-21-m": {"train": 4, "query": 3, "database": 9, "classes": 3},
    "nuswide-81": {"train": 4, "query": 3, "database": 9, "classes": 3, "unlabelled": {"query": 1, "train": 1}},
    "coco": {"train": 4, "query": 3, "database": 13, "classes": 3, "unlabelled": {}},
    "imagenet-100": {"train": 4, "query": 3, "database": 9, "classes": 3, "unlabelled": {}},
    "flickr25k-38": {"train": 4, "query": 3, "database": 9, "classes": 3, "unlabelled": {}},
    "flickr25k-38-prosgan": {"train": 4, "query": 3, "database": 9, "classes": 3, "unlabelled": {}},
    "flickr25k-24": {"train": 6, "query": 2, "database": 10, "classes": 4},
    "cub-200": {"train": 5, "query": 3, "database": 5, "classes": 2},
    "clothing1m": {"train": 5, "query": 2, "database": 3, "classes": 2},
    "gldv2": {"train": 5, "query": 2, "database": 4, "classes": 2},
    "roxford5k": {"query": 2, "database": 6},
    "rparis6k": {"query": 2, "database": 6},
    "cifar100": {"train": 8, "query": 4, "database": 8, "classes": 4},
}


def grow(root, name):
    """Write the tree of a protocol below a folder; returns its own folder."""
    if name in _LISTED:
        return _lists(root / _LISTED[name], name)
    return _GROWN[name](root)


def images(folder, names):
    """Write one small picture for each name, below the folder."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)


_LISTED = {
    "nuswide-21": "nuswide_21",
    "nuswide-21-m": "nuswide_21_m",
    "nuswide-81": "nuswide_81",
    "coco": "coco",
    "imagenet-100": "imagenet",
    "flickr25k-38": "mirflickr",
    "flickr25k-38-prosgan": "FLICKR-25K",
}


def write_lists(folder, rows, *, prefix="images/", parallel=False):
    """Write train, test and database lists: ``{"test": [("a.jpg", "0 1 0")]}``."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, lines in rows.items():
        if parallel:
            (folder / f"{part}_img.txt").write_text("".join(f"{prefix}{name}\n" for name, _ in lines))
            (folder / f"{part}_label.txt").write_text("".join(f"{label} \n" for _, label in lines))
        else:
            (folder / f"{part}.txt").write_text("".join(f"{prefix}{name} {label}\n" for name, label in lines))
    return folder


def _lists(folder, name):
    hot = ["1 0 0", "0 1 0", "0 0 1"] if name == "imagenet-100" else ["1 1 0", "0 1 0", "0 0 1"]
    train, query, rest = ([(f"{part}{n}.png", hot[n % 3]) for n in range(9)] for part in "tqd")
    train, query = train[:4], query[:3]
    rest = rest[:9] if name in ("coco", "flickr25k-38") else rest[:5]
    if name == "nuswide-81":
        train[0], query[0] = (train[0][0], "0 0 0"), (query[0][0], "0 0 0")
    database = rest if name in ("coco", "flickr25k-38") else [*rest, *train]
    if name == "coco":
        database = [*query, *database]  # as in HashNet's own list
    if name == "flickr25k-38-prosgan":
        train = [*train, train[0]]  # likewise in ProS-GAN's
    prefix = {"coco": "/home/someone/dataset/coco/val2014/", "nuswide-81": "./data/nuswide_81/images/"}.get(name, "im/")
    rows = {"train": train, "test": query, "database": database}
    write_lists(folder, rows, prefix=prefix, parallel=name == "flickr25k-38-prosgan")
    images(folder / prefix.rstrip("/").rpartition("/")[2], {n for part in (train, query, database) for n, _ in part})
    return folder


def _flickr24(root):
    folder = root / "mirflickr25k"
    names = [f"im{n}.png" for n in range(1, 13)]
    images(folder / "images", names)
    cells = np.empty((12, 1), object)
    cells[:, 0] = names
    savemat(folder / "mirflickr25k-fall.mat", {"FAll": cells})
    hot = np.array([[n % 2, 1 - n % 2, n % 3 == 0, n % 4 == 0] for n in range(12)], np.uint8)
    savemat(folder / "mirflickr25k-lall.mat", {"LAll": hot})
    (folder / "tags").mkdir()
    for n in range(1, 13):
        (folder / "tags" / f"tags{n}.txt").write_text(f"sky\nnumber{n}\n")
    return folder


def _cub(root):
    folder = root / "CUB_200_2011"
    names = [f"{1 + n % 2:03}.Bird_{n % 2}/b{n}.png" for n in range(8)]
    images(folder / "images", names)
    (folder / "images.txt").write_text("".join(f"{n + 1} {name}\n" for n, name in enumerate(names)))
    (folder / "image_class_labels.txt").write_text("".join(f"{n + 1} {1 + n % 2}\n" for n in range(8)))
    (folder / "train_test_split.txt").write_text("".join(f"{n + 1} {int(n < 5)}\n" for n in range(8)))
    (folder / "classes.txt").write_text("1 001.Bird_0\n2 002.Bird_1\n")
    return folder


def _clothing1m(root):
    folder = root / "clothing1m"
    keys = [f"images/{n}/a,{n}.png" for n in range(9)]
    images(folder, keys)
    noisy, clean, test = keys[:5], [*keys[5:7], keys[0]], keys[7:]  # keys[0] has a noisy and a clean label
    for name, part in (("noisy_train", noisy), ("clean_train", clean), ("clean_test", test)):
        (folder / f"{name}_key_list.txt").write_text("\n".join(part))
    (folder / "noisy_label_kv.txt").write_text("".join(f"{key} 1\n" for key in noisy))
    (folder / "clean_label_kv.txt").write_text("".join(f"{key} {n % 2}\n" for n, key in enumerate([*clean, *test])))
    (folder / "category_names_eng.txt").write_text("T-Shirt\nDown Coat\n")
    return folder


def _gldv2(root):
    folder = root / "gldv2"
    train, index, test = ([f"{part}{n}cdef" for n in range(5)] for part in ("ab", "12", "xy"))
    for part, names in (("train", train), ("index", index[:4]), ("test", test[:2])):
        images(folder / part, [f"{id[0]}/{id[1]}/{id[2]}/{id}.jpg" for id in names])
    (folder / "train_clean.csv").write_text(f"landmark_id,images\n7,{' '.join(train[:3])}\n19,{' '.join(train[3:])}\n")
    (folder / "index.csv").write_text("\n".join(["id", *index[:4]]))
    answers = f"{test[0]},{index[2]} {index[0]},Public\n{test[1]},{index[1]},Private\n{test[2]},None,Ignored\n"
    (folder / "retrieval_solution_v2.1.csv").write_text(f"id,images,Usage\n{answers}")
    return folder


def ground_truth():
    """The dictionary of Revisited Oxford and Paris: 2 queries, 6 photos, the second query without an easy answer."""
    gnd = [
        {"bbx": [2.0, 1.0, 8.0, 6.0], "easy": [0, 4], "hard": [1], "junk": [5]},
        {"bbx": [0.0, 0.0, 400.0, 400.0], "easy": [], "hard": [3], "junk": []},
    ]
    return {"imlist": [f"photo_{n}" for n in range(6)], "qimlist": ["all_souls_1", "all_souls_2"], "gnd": gnd}


def _revisited(name):
    def grown(root):
        folder, truth = root / name, ground_truth()
        images(folder / "jpg", [f"{photo}.jpg" for photo in (*truth["imlist"], *truth["qimlist"])])
        (folder / f"gnd_{name}.pkl").write_bytes(pickle.dumps(truth))
        return folder

    return grown


def as_mat(truth):
    """The same ground truth as MATLAB keeps it: rows from 1, cell arrays, an array of structures."""
    gnd = np.zeros((1, len(truth["gnd"])), dtype=[(key, object) for key in ("bbx", "easy", "hard", "junk")])
    for n, one in enumerate(truth["gnd"]):
        for key, values in one.items():
            gnd[0, n][key] = np.array([values], np.float64) + (key != "bbx")
    return {"gnd": gnd, **{key: np.array([truth[key]], object) for key in ("imlist", "qimlist")}}


def as_json(truth):
    """The same ground truth as JSON text."""
    return json.dumps(truth)


def cifar_batch(count, classes, *, fine, start=0):
    """A batch as CIFAR publishes it, with texts as Python 2 wrote them."""
    data = np.random.default_rng(start).integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = [n % classes for n in range(count)]
    names = [f"thing_s_{start + n:06}.png" for n in range(count)]
    coarse = {"coarse_labels": [label // 2 for label in labels]} if fine else {}
    return {"data": data, "fine_labels" if fine else "labels": labels, "filenames": names, **coarse}


def _cifar100(root):
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for part, count, start in (("train", 8, 0), ("test", 4, 100)):
        (folder / part).write_bytes(pickle.dumps(cifar_batch(count, 4, fine=True, start=start), protocol=2))
    meta = {"fine_label_names": ["cat", "dog", "oak", "elm"], "coarse_label_names": ["animals", "trees"]}
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def cifar10_batches(folder):
    """Write the original CIFAR-10 files with 5 x 4 train and 4 test images; returns what they hold."""
    folder.mkdir(parents=True)
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    batches = {name: cifar_batch(4, 10, fine=False, start=4 * n) for n, name in enumerate(names)}
    for name, batch in batches.items():
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {"label_names": ["airplane", "automobile", "bird", "cat", *"efghij"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return batches


_GROWN = {
    "flickr25k-24": _flickr24,
    "cub-200": _cub,
    "clothing1m": _clothing1m,
    "gldv2": _gldv2,
    "roxford5k": _revisited("roxford5k"),
    "rparis6k": _revisited("rparis6k"),
    "cifar100": _cifar100,
}
