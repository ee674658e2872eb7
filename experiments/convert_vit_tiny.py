"""Convert ViT-Tiny weights in timm's layout to a folder for ``hf:FOLDER``, such as the one of cifar10-vit.yaml.

    python experiments/convert_vit_tiny.py vit_tiny_patch16_224.safetensors ~/.cache/kinbits/data/weights/vit-tiny

The defaults (mean 0.5, std 0.5, heads of 64) are those of the AugReg ViTs that timm publishes.
"""

from __future__ import annotations

import argparse

from kinbits.backbones import vit_from_timm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="safetensors file with timm's parameter names")
    parser.add_argument("folder", help="folder to write")
    parser.add_argument("--mean", type=float, default=0.5)
    parser.add_argument("--std", type=float, default=0.5)
    parser.add_argument("--licence", help="licence identifier for the model card")
    given = parser.parse_args()
    folder = vit_from_timm(given.weights, given.folder, mean=given.mean, std=given.std, licence=given.licence)
    print(f"written: {folder}; use it as backbone 'hf:{folder}'")


if __name__ == "__main__":
    main()
