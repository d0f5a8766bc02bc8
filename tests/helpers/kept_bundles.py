"""The bundles kept of every format, `tests/data/bundles`, and engines that give again what was recorded. 3.6-clean."""

import hashlib
import os
import zipfile

import numpy as np

from coachc.runtime.engines.fake_engine import FakeEngine

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "bundles")
NAMES = ("split", "range", "jpeg")


def archive_of(version, name):
    return os.path.join(FOLDER, f"v{version}", f"{name}.coachz")


def key_folder(version):
    """Holds the public key that `split` is signed with."""
    return os.path.join(FOLDER, f"v{version}")


def manifest_bytes(version, name):
    with zipfile.ZipFile(archive_of(version, name)) as stored:
        return stored.read("manifest.json")


def recorded(version, name):
    """What was recorded when the bundle was made: by name, arrays."""
    with np.load(os.path.join(FOLDER, f"v{version}", f"{name}.npz")) as stored:
        return {key: stored[key] for key in stored}


def write_source(arrays, folder):
    """The recorded inputs as something to run on: a .npz, or a folder of pictures (which needs Pillow)."""
    if "pictures" not in arrays:
        rows = {key[len("rows/") :]: array for key, array in arrays.items() if key.startswith("rows/")}
        np.savez(str(folder / "rows.npz"), **rows)
        return str(folder / "rows.npz")
    from PIL import Image

    (folder / "pictures").mkdir()
    for index, picture in enumerate(arrays["pictures"]):
        Image.fromarray(picture).save(str(folder / "pictures" / f"{index}.png"))
    return str(folder / "pictures")


def replay_factory(bundle, arrays):
    """An engine factory: each artefact gives what it gave when it was fed the same, and takes nothing else.

    Versions of Pillow resize, code and decode a little differently, so pictures only have to be near in the mean: other
    ones of these are more than twice as far.
    """
    paths = {artefact.sha256: artefact.path for artefact in bundle.manifest.artefacts}
    tolerance = 0.045 if "pictures" in arrays else 0.0

    def factory(data, providers=()):
        start = f"calls/{paths[hashlib.sha256(data).hexdigest()]}/"
        taken = {key[len(start) + 3 :]: array for key, array in arrays.items() if key.startswith(start + "in/")}
        made = {key[len(start) + 4 :]: array for key, array in arrays.items() if key.startswith(start + "out/")}

        def run(feed):
            assert sorted(feed) == sorted(taken)
            for call in range(len(next(iter(taken.values())))):
                if all(near(feed[name], array[call]) for name, array in taken.items()):
                    return {name: array[call] for name, array in made.items()}
            raise AssertionError(f"{start} was fed something else than when it was recorded")

        def near(found, array):
            return found.shape == array.shape and np.abs(found.astype(float) - array).mean() <= tolerance

        return FakeEngine(run, tuple(taken), tuple(made))

    return factory
