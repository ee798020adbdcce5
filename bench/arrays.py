"""The data sets of the benchmarks as arrays for the peers."""
import gzip
import io
import pathlib
import tarfile

import numpy
from PIL import Image


def load(name: str, folder: pathlib.Path, cache: pathlib.Path):
    """Returns (train images, train labels, test images, test labels) of cifar10 or mnist.

    Images are uint8 [count, channels, height, width], labels int64 [count].
    """
    return load_cifar10(folder, cache) if name == "cifar10" else load_mnist(folder)


def load_mnist(folder):
    def values(part, kind, rank):
        with gzip.open(folder / f"{part}-{kind}-idx{rank}-ubyte.gz") as file:
            bytes_of_file = file.read()
        shape = numpy.frombuffer(bytes_of_file, ">i4", rank, 4)
        return numpy.frombuffer(bytes_of_file, numpy.uint8, -1, 4 + 4 * rank).reshape(shape)
    return tuple(array for part in ("train", "t10k") for array in (
        values(part, "images", 3)[:, None].copy(),
        values(part, "labels", 1).astype(numpy.int64)))


def load_cifar10(folder, cache):
    """Decoded once from the archive of JPEG files and kept beside the peers.

    Examples are in the archive's order of names, so that every reader has the same set.
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
