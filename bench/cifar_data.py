"""CIFAR-10 from its archive of JPEG files as arrays, decoded once and kept beside the peers."""
import io
import pathlib
import tarfile

import numpy
from PIL import Image


def load(folder: pathlib.Path, cache: pathlib.Path):
    """Returns (train images, train labels, test images, test labels).

    Images are uint8 [count, 3, 32, 32], labels int64 [count]; examples in the archive's order of
    names, so that every reader of the same archive has the same set.
    """
    file = cache / "cifar10.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        arrays = decode(folder)
        partial = cache / "partial.npz"
        numpy.savez(partial, **arrays)
        partial.rename(file)
    with numpy.load(file) as arrays:
        return tuple(arrays[name] for name in
                     ("train_images", "train_labels", "test_images", "test_labels"))


def decode(folder: pathlib.Path):
    classes = (folder / "classes.txt").read_text().split()
    parts = {"train": [], "test": []}
    with tarfile.open(folder / "cifar10-jpeg.tar.xz") as archive:
        for member in archive:
            if not member.name.endswith(".jpg"):
                continue
            part, name, _ = member.name.split("/")
            image = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
            parts[part].append((member.name, classes.index(name), numpy.asarray(image)))
    arrays = {}
    for part, examples in parts.items():
        examples.sort(key=lambda example: example[0])
        pixels = numpy.stack([e[2] for e in examples])
        arrays[part + "_images"] = pixels.transpose(0, 3, 1, 2).copy()
        arrays[part + "_labels"] = numpy.array([e[1] for e in examples], dtype=numpy.int64)
    return arrays
