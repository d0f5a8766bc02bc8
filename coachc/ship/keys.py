"""Key pairs, and signing a bundle with one. Verifying is the runtime's: `runtime.bundle.signature`."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from coachc.errors import FileError, ToolchainError
from coachc.runtime.bundle.signature import SIGNATURE, Signature, encode_signature, key_id_of
from coachc.runtime.bundle.store import open_bundle, read_signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE, PUBLIC = ".key", ".pub"
_LIMIT_BYTES = 1 << 16


def make_keys(name: str) -> tuple[str, str, str]:
    """Make an Ed25519 key pair: NAME.key, which only its owner can read, and NAME.pub, both PEM.

    Returns
    -------
    (str, str, str)
        Both paths and the key's id.

    Raises
    ------
    FileError
        One of the files is there already, or cannot be written.
    """
    _needs_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private, public = name + PRIVATE, name + PUBLIC
    for path in (private, public):
        if os.path.lexists(path):
            raise FileError(
                f"{path} exists already, and a key that is lost cannot be made again",
                hint="give another name, or move that file away",
            )
    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    try:
        _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except FileError:
        os.unlink(private)
        raise
    return private, public, _id_of(key)


def sign_bundle(bundle: str, key_path: str) -> str:
    """Sign a bundle: write its `manifest.sig`, in place of one that is there. Its id stays what it is.

    Returns
    -------
    str
        Id of the key.

    Raises
    ------
    FileError
        The key cannot be read, is of another kind, or others can read it.
    runtime.errors.BundleError
        The bundle is damaged: what was changed is not signed.
    """
    key = _private_key(key_path)
    opened = open_bundle(bundle)
    data, _ = read_signed(opened.path)
    signature = encode_signature(Signature(_id_of(key), key.sign(data)))
    # Made beside the bundle: in it, an interrupted signing would leave a file that no manifest lists.
    partial = f"{opened.path.rstrip('/')}.{os.getpid()}.partial"
    try:
        with open(partial, "xb") as stream:
            stream.write(signature)
        os.replace(partial, os.path.join(opened.path, SIGNATURE))
    except OSError as exc:
        raise FileError(
            f"cannot write {SIGNATURE} in {bundle}: {exc.strerror}", hint="sign a copy in a folder of yours"
        ) from exc
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    return _id_of(key)


def _private_key(path: str) -> Ed25519PrivateKey:
    _needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "name a NAME.key as coachc keygen NAME writes it"
    try:
        with open(path, "rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(_LIMIT_BYTES)
    except OSError as exc:
        raise FileError(f"--key {path} cannot be read: {exc.strerror}", hint=hint) from exc
    if b"PUBLIC KEY" in data:
        raise FileError(f"--key {path} is a public key; the private one signs", hint=hint)
    if mode & 0o077:
        raise FileError(
            f"--key {path}: others can read this private key",
            context=["expected  mode 0600", f"found     mode {mode:04o}"],
            hint=f"chmod 600 {path}, and make a new key if somebody did read it",
        )
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise FileError(f"--key {path} is not a private key in PEM without password: {exc}", hint=hint) from exc
    if not isinstance(key, Ed25519PrivateKey):
        found = type(key).__name__.strip("_")
        raise FileError(
            f"--key {path} is a private key of another kind",
            context=["expected  Ed25519", f"found     {found}"],
            hint=hint,
        )
    return key


def _id_of(key: Ed25519PrivateKey) -> str:
    return key_id_of(key.public_key().public_bytes_raw())


def _write_new(path: str, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as stream:
            stream.write(data)
    except OSError as exc:
        raise FileError(f"cannot write {path}: {exc.strerror}", hint="give a name in a folder of yours") from exc


def _needs_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as exc:
        raise ToolchainError("keys and signatures need the library cryptography", hint="pip install '.[ship]'") from exc
