"""What orthohash's options do on frozen features, scored on a held-out fifth of CIFAR-10's training images.

Writes ``results/orthohash-tuning.csv``: one row per setting and seed, with the score that early stopping sees
(tie-aware mAP@all of held-out images against the other training images). The test queries take no part. hashnet
stands beside.

    KINBITS_DATA=path/to/data python experiments/tune_orthohash.py
"""

from __future__ import annotations

from _runs import Clock, Table

import kinbits

PROTOCOL, BITS = "cifar10-1k-5k-54k", 64
SETTINGS = [
    ("hashnet", {}, {}),
    ("orthohash", {}, {}),
    ("orthohash", {}, {"epochs": 10}),
    ("orthohash", {}, {"epochs": 60}),
    ("orthohash", {"scale": 4.0}, {}),
    ("orthohash", {"scale": 8.0}, {}),
    ("orthohash", {"margin": 0.0}, {}),
    ("orthohash", {"margin": 0.4}, {}),
    ("orthohash", {"angular": True}, {}),
    ("orthohash", {"targets": "maxhd"}, {}),
    ("orthohash", {"quantization": 1.0}, {}),
    ("orthohash", {}, {"lr": 3e-4}),
    ("orthohash", {}, {"batch_size": 64}),
]


def main() -> None:
    table = Table("orthohash-tuning.csv", ["protocol", "method", "setting", "bits", "seed"], ["validation"])
    splits = kinbits.load_protocol(PROTOCOL)
    for method, params, training in SETTINGS:
        setting = " ".join(f"{k}={v}" for k, v in {**params, **training}.items()) or "defaults"
        for seed in (0, 1, 2):
            run = {"protocol": PROTOCOL, "method": method, "setting": setting, "bits": BITS, "seed": seed}
            if table.has(**run):
                continue
            with Clock() as clock:
                model = kinbits.fit(
                    splits.train,
                    method=method,
                    bits=BITS,
                    seed=seed,
                    params=params,
                    validation=0.2,
                    progress=False,
                    **training,
                )
            last = model.training["history"][-1]
            table.add(run, last, clock.seconds, {**params, **training}, splits.protocol.checksum)


if __name__ == "__main__":
    main()
