"""Signatures of bundles: which keys are trusted, and whether one of them signed a manifest.

`manifest.sig` is one line, ``ed25519  KEY-ID  SIGNATURE``: an Ed25519 signature (RFC 8032) over the bytes of
`manifest.json`, which hold the hash of everything else. It is no part of the bundle id, so signing changes nothing
about a bundle. Keys are PEM files, as OpenSSL writes them; whoever has a private key is `coachc.ship.keys`' business.
"""

import hashlib
import os
import re
import warnings
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from ..errors import SignatureError

SIGNATURE = "manifest.sig"
ALGORITHM = "ed25519"
#: Of a signature file, which is that long exactly.
SIGNATURE_BYTES = len(ALGORITHM) + 2 + 16 + 2 + 128 + 1
#: Of a key file; PEM of an Ed25519 key is some 120 bytes.
KEY_LIMIT_BYTES = 1 << 16
INSTALL = "pip install '.[ship]'; on JetPack 4.6 python3 -m pip install cryptography==40.0.2"


class TrustedKey(NamedTuple):
    """A public key: its id, its 32 bytes and the file it came from."""

    key_id: str
    raw: bytes
    path: str


TrustedKeys = Tuple[TrustedKey, ...]


class Signature(NamedTuple):
    """The id of the key that signed, and the 64 bytes."""

    key_id: str
    value: bytes


def key_id_of(raw: bytes) -> str:
    """The first 16 hexadecimal digits of the sha256 of a public key's 32 bytes."""
    return hashlib.sha256(raw).hexdigest()[:16]


def encode_signature(signature: Signature) -> bytes:
    return f"{ALGORITHM}  {signature.key_id}  {signature.value.hex()}\n".encode("ascii")


def decode_signature(data: bytes, where: str) -> Signature:
    """Read the bytes of `manifest.sig`.

    Raises
    ------
    SignatureError
        If they are anything but what `encode_signature` writes.
    """
    found = re.match(rb"(\S+)  ([0-9a-f]{16})  ([0-9a-f]{128})\n\Z", data)
    if found is None or found.group(1) != ALGORITHM.encode():
        expected = f"expected  the line '{ALGORITHM}  KEY-ID  SIGNATURE', {SIGNATURE_BYTES} bytes"
        shown = ascii(data[:40].decode("latin-1"))
        raise SignatureError(
            f"{SIGNATURE} of {where} is damaged",
            [expected, f"found     {len(data)} bytes that begin {shown}"],
            "sign the bundle again: coachc sign BUNDLE --key NAME.key",
        )
    return Signature(found.group(2).decode(), bytes.fromhex(found.group(3).decode()))


def trusted_keys(folder: Optional[str] = None, files: Sequence[str] = ()) -> Optional[TrustedKeys]:
    """Public keys of a folder, where their names end in `.pub`, and of single files; None where neither is given.

    Raises
    ------
    SignatureError
        If there is no key, or a file is something else.
    """
    if folder is None and not files:
        return None
    paths = list(files)
    if folder is not None:
        try:
            paths += [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".pub")]
        except OSError as exc:
            raise SignatureError(
                f"cannot read the folder of trusted keys {folder}: {exc.strerror}",
                hint="name a folder that holds public keys, NAME.pub of coachc keygen NAME",
            ) from exc
    if not paths:
        raise SignatureError(
            f"the folder of trusted keys {folder} holds no key: nothing could be trusted",
            ["expected  files whose names end in .pub", "found     none"],
            "copy NAME.pub of coachc keygen NAME there",
        )
    return tuple(_public_key(path) for path in paths)


def verify_signature(data: bytes, signature: Optional[bytes], keys: TrustedKeys, where: str) -> TrustedKey:
    """Whether one of `keys` signed the manifest whose bytes are `data`.

    Parameters
    ----------
    data : bytes
        Of `manifest.json`.
    signature : bytes or None
        Of `manifest.sig`; None where there is none.
    keys : TrustedKeys
    where : str
        The bundle, for messages.

    Returns
    -------
    TrustedKey
        The key that signed it.

    Raises
    ------
    SignatureError
        If it is not signed, signed by a key that is not trusted, or the signature is of other bytes.
    """
    trusted = f"trusted   {', '.join(sorted({key.key_id for key in keys}))}"
    if signature is None:
        raise SignatureError(
            f"{where} is not signed, and only bundles of trusted keys are taken",
            [trusted],
            "sign it where it was made: coachc sign BUNDLE --key NAME.key",
        )
    found = decode_signature(signature, where)
    named = [key for key in keys if key.key_id == found.key_id]
    if not named:
        raise SignatureError(
            f"{where} is signed by key {found.key_id}, which is not trusted",
            [trusted],
            "sign it with a trusted key, or add that key's .pub to the trusted ones",
        )
    invalid, ed25519 = _cryptography()[:2]
    for key in named:
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(key.raw).verify(found.value, data)
        except invalid:
            continue
        return key
    raise SignatureError(
        f"the signature of {where} does not fit its manifest",
        [f"expected  one by key {found.key_id} over sha256 {hashlib.sha256(data).hexdigest()}", "found     another"],
        "the bundle was changed, or its signature is another's: sign it again where it was made",
    )


def _public_key(path: str) -> TrustedKey:
    """Read a PEM file; `SignatureError` if it is no public Ed25519 key."""
    hint = "name a NAME.pub as coachc keygen NAME writes it"
    try:
        with open(path, "rb") as stream:
            data = stream.read(KEY_LIMIT_BYTES)
    except OSError as exc:
        raise SignatureError(f"cannot read the public key {path}: {exc.strerror}", hint=hint) from exc
    if b"PRIVATE KEY" in data:
        raise SignatureError(
            f"{path} is a private key where a public one belongs",
            hint="a private key stays where bundles are signed; give its .pub",
        )
    _, ed25519, serialization = _cryptography()
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as exc:  # ValueError, or UnsupportedAlgorithm, which is none
        raise SignatureError(f"{path} is not a public key in PEM: {str(exc)[:80]}", hint=hint) from exc
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise SignatureError(
            f"{path} is a public key of another kind",
            ["expected  Ed25519", f"found     {type(key).__name__.strip('_')}"],
            hint,
        )
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return TrustedKey(key_id_of(raw), raw, path)


def _cryptography() -> Tuple[Any, Any, Any]:
    """InvalidSignature and the modules `ed25519` and `serialization`.

    Raises
    ------
    SignatureError
        If the library is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its last release for Python 3.6 says on import that it is the last
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as exc:
        raise SignatureError(f"signatures need the library cryptography: {exc}", hint=INSTALL) from exc
    return InvalidSignature, ed25519, serialization
