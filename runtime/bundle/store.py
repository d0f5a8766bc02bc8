"""Bundles on disk: write one, open one.

A bundle is a directory: `manifest.json`, `manifest.sha256` and the artefacts the manifest lists, nothing else. Opening
checks every byte; after that, `Bundle.read` is the only way to an artefact, and it checks what it hands out again.
Where keys are trusted, nothing but the manifest's bytes is looked at before its signature, `manifest.sig`, fits.
"""

import hashlib
import os
import shutil
import stat
import uuid
from typing import Iterator, Mapping, NamedTuple, Optional, Tuple, Union

from ..errors import BundleError
from .destination import MANIFEST, check_destination, place_bundle
from .manifest_json import from_json_bytes, refuse_newer, to_json_bytes
from .manifest_types import Artefact, Cut, Manifest, url_name
from .signature import SIGNATURE, SIGNATURE_BYTES, TrustedKeys, decode_signature, trusted_keys, verify_signature

CHECKSUM = "manifest.sha256"
MANIFEST_LIMIT_BYTES = 16 << 20
#: Of a bundle's id, in the name under which it is served.
SERVED_ID_DIGITS = 12
HINT = "copy the bundle again or recompile"


class Bundle(NamedTuple):
    """A bundle whose files were all found as the manifest says.

    Attributes
    ----------
    path : str
        The directory.
    manifest : Manifest
    bundle_id : str
        sha256 of the bytes of `manifest.json`, in hex; it covers the artefacts through their hashes.
    """

    path: str
    manifest: Manifest
    bundle_id: str

    @property
    def served_name(self) -> str:
        """Model name in URLs: the model's own and the start of the bundle id, so that another bundle is not found."""
        return f"{url_name(self.manifest.model.name)}-{self.bundle_id[:SERVED_ID_DIGITS]}"

    def served_name_of(self, cut: Cut) -> str:
        """Model name of one cut in URLs: `served_name` for the chosen one, with the cut's own behind it for others."""
        return self.served_name if cut.name == self.manifest.chosen else f"{self.served_name}-{url_name(cut.name)}"

    def read(self, path: str) -> bytes:
        """The bytes of one artefact, checked against the manifest once more.

        Raises
        ------
        BundleError
            If the file has changed since the bundle was opened.
        """
        for artefact in self.manifest.artefacts:
            if artefact.path == path:
                return _read_artefact(self.path, artefact)
        raise BundleError(f"'{path}' is not an artefact of {self.path}")


def open_bundle(path: Union[str, "os.PathLike[str]"], keys: Optional[TrustedKeys] = None) -> Bundle:
    """Open a bundle and check every file of it.

    Parameters
    ----------
    path : path
        A link is followed once, so that what it names later does not matter to the bundle that was opened.
    keys : TrustedKeys, optional
        One of them has to have signed it: `runtime.bundle.signature.trusted_keys`.

    Raises
    ------
    BundleError
        If a file is missing, changed, a link, or not listed; if the manifest is damaged or of a newer format.
    SignatureError
        If keys are given and none of them signed it, or the signature is damaged.
    """
    root = os.fspath(path)
    if os.path.islink(root):
        root = os.path.realpath(root)
    data, signature = read_signed(root)
    if keys is not None:
        verify_signature(data, signature, keys, root)
    refuse_newer(data)  # before the checksum, which a newer format may keep elsewhere
    bundle_id = hashlib.sha256(data).hexdigest()
    expected = checksum_line(bundle_id)
    if _lstat_file(root, CHECKSUM).st_size != len(expected) or _read(root, CHECKSUM) != expected:
        raise BundleError(
            f"{MANIFEST} does not match {CHECKSUM}",
            [f"expected  the line '{expected.decode().strip()}'", "found     another"],
            HINT,
        )
    manifest = from_json_bytes(data)
    if signature is not None:
        decode_signature(signature, root)
    for artefact in manifest.artefacts:
        _read_artefact(root, artefact)
    listed = {MANIFEST, CHECKSUM, SIGNATURE} | {artefact.path for artefact in manifest.artefacts}
    for found in _walk(root):
        if found not in listed:
            raise BundleError(f"{found} is not listed in the manifest of {root}", hint=HINT)
    return Bundle(root, manifest, bundle_id)


def read_signed(path: Union[str, "os.PathLike[str]"]) -> Tuple[bytes, Optional[bytes]]:
    """The bytes of a bundle's manifest and of its signature, None where it has none; neither is checked here.

    Raises
    ------
    BundleError
        If it is no bundle, or they are too large to be what they are called.
    """
    root = os.fspath(path)
    if os.path.isfile(root):
        raise not_a_bundle(root)
    if not os.path.isdir(root):
        raise BundleError(f"{root} is not a bundle: no such directory", hint="coachc compile writes one")
    if not os.path.lexists(os.path.join(root, MANIFEST)):
        raise BundleError(f"{root} is not a bundle: it has no {MANIFEST}", hint=HINT)
    size = _lstat_file(root, MANIFEST).st_size
    if size > MANIFEST_LIMIT_BYTES:
        raise BundleError(f"{MANIFEST} has {size} bytes, more than {MANIFEST_LIMIT_BYTES}", hint=HINT)
    data = _read(root, MANIFEST)
    if not os.path.lexists(os.path.join(root, SIGNATURE)):
        return data, None
    size = _lstat_file(root, SIGNATURE).st_size
    if size > SIGNATURE_BYTES:
        raise BundleError(f"{SIGNATURE} has {size} bytes, more than {SIGNATURE_BYTES}", hint=HINT)
    return data, _read(root, SIGNATURE)


def not_a_bundle(file: str) -> BundleError:
    """What is wrong with a file in the place of a bundle's folder."""
    if is_packed(file):
        return BundleError(
            f"{file} is a packed bundle, and has to be unpacked first",
            hint=f"coachc unpack {file}; on a device python3 -m runtime.install {file} --into DIR",
        )
    if file.endswith(".onnx"):
        return BundleError(
            f"{file} is an ONNX model, not a bundle", hint=f"coachc compile {file} --device tx2 --calib DIR makes one"
        )
    return BundleError(f"{file} is a file, and a bundle is a folder", hint="coachc compile writes one")


def is_packed(path: str) -> bool:
    """Whether a file begins as those of `coachc pack` do."""
    try:
        with open(path, "rb") as stream:
            return stream.read(4) == b"PK\x03\x04" and not path.endswith(".npz")
    except OSError:
        return False


def check_signature(path: Union[str, "os.PathLike[str]"], trust: str) -> str:
    """The id of the key in the folder `trust` that signed a bundle. Its artefacts are not looked at.

    Raises
    ------
    SignatureError
        If none did.
    BundleError
        If it is no bundle.
    """
    keys = trusted_keys(trust)
    assert keys is not None
    data, signature = read_signed(path)
    return verify_signature(data, signature, keys, os.fspath(path)).key_id


def write_bundle(
    destination: Union[str, "os.PathLike[str]"],
    manifest: Manifest,
    files: Mapping[str, Union[bytes, str, "os.PathLike[str]"]],
    roles: Mapping[str, str],
    force: bool = False,
    keep: bool = False,
) -> Bundle:
    """Write a bundle under a temporary name beside `destination`, then rename it. Same inputs, same bytes.

    Parameters
    ----------
    destination : path
        Must not exist, or be a bundle when `force` is given.
    manifest : Manifest
        Its `artefacts` are ignored and made from `files`.
    files : mapping
        Artefact path in the bundle -> its bytes, or the path of the file to copy.
    roles : mapping
        Artefact path -> one of `manifest_types.ROLES`.
    force : bool
        Replace the bundle that is there.
    keep : bool
        The place was free when long work began: where something came there meanwhile, keep the bundle beside it.

    Returns
    -------
    Bundle
        The one just written, read back and checked.

    Raises
    ------
    BundleError
        If the destination is in the way, cannot be written, or the manifest contradicts itself.
    """
    target = os.path.abspath(os.fspath(destination))
    parent, name = os.path.split(target)
    if not keep:
        check_destination(target, force)
    partial = os.path.join(parent, f".{name}.{uuid.uuid4().hex}.partial")
    try:
        os.mkdir(partial)
        artefacts = []
        for path in sorted(files):
            # Checked before it is used as a path: `from_json_bytes` refuses the ones that leave the bundle.
            artefacts.append(Artefact(path, roles[path], "0" * 64, 0))
        from_json_bytes(to_json_bytes(manifest._replace(artefacts=tuple(artefacts))))
        artefacts = [_write_artefact(partial, item, files[item.path]) for item in artefacts]
        data = to_json_bytes(manifest._replace(artefacts=tuple(artefacts)))
        _write(partial, MANIFEST, data)
        _write(partial, CHECKSUM, checksum_line(hashlib.sha256(data).hexdigest()))
        written = open_bundle(partial)
        place_bundle(partial, target, force, keep)
    except OSError as exc:
        raise BundleError(f"cannot write {target}: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written._replace(path=target)


def checksum_line(digest: str) -> bytes:
    """What `manifest.sha256` holds: the line `sha256sum` prints."""
    return f"{digest}  {MANIFEST}\n".encode("ascii")


def _local(root: str, path: str) -> str:
    return os.path.join(root, *path.split("/"))


def _lstat_file(root: str, path: str) -> os.stat_result:
    """lstat of a regular file none of whose parent folders inside the bundle is a link."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        shown = "/".join(parts[:depth])
        try:
            status = os.lstat(os.path.join(root, *parts[:depth]))
        except OSError as exc:
            raise BundleError(f"{path} is missing from {root}", hint=HINT) from exc
        wanted = stat.S_ISREG if depth == len(parts) else stat.S_ISDIR
        if not wanted(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise BundleError(f"{shown} in {root} is {kind}", hint=HINT)
    return status


def _read(root: str, path: str) -> bytes:
    try:
        with open(_local(root, path), "rb") as stream:
            return stream.read()
    except OSError as exc:
        raise BundleError(f"cannot read {path} in {root}: {exc.strerror}", hint=HINT) from exc


def _read_artefact(root: str, artefact: Artefact) -> bytes:
    size = _lstat_file(root, artefact.path).st_size
    if size != artefact.size_bytes:
        context = [f"expected  {artefact.size_bytes} bytes", f"found     {size} bytes"]
        raise BundleError(f"{artefact.path} in {root} has another size", context, HINT)
    data = _read(root, artefact.path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != artefact.sha256:
        context = [f"expected  sha256 {artefact.sha256}", f"found     sha256 {digest}"]
        raise BundleError(f"{artefact.path} in {root} has changed", context, HINT)
    return data


def _walk(root: str) -> Iterator[str]:
    """Every entry that is not a real directory, as a path with '/'."""
    for folder, folders, names in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted(names + links):
            yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def _write(root: str, path: str, data: bytes) -> None:
    with open(_local(root, path), "wb") as stream:
        stream.write(data)


def _write_artefact(root: str, item: Artefact, source: Union[bytes, str, "os.PathLike[str]"]) -> Artefact:
    os.makedirs(os.path.dirname(_local(root, item.path)), exist_ok=True)
    if isinstance(source, bytes):
        data = source
    else:
        with open(source, "rb") as stream:
            data = stream.read()
    _write(root, item.path, data)
    return item._replace(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
