"""A bundle as one file, NAME.coachz: a zip that stores its files, of which there is exactly one for each bundle.

Everything in it but the files' bytes follows from the manifest: the order of the entries, their names and sizes, the
fixed date and attributes, the central directory. So the reader goes through the file once, front to back, compares each
header with the one it has to be, and believes none of them. Standard tools can unpack one; this reader takes no other.
This file says what an archive holds and reads it; `runtime.bundle.zip_reader` compares the zip's own bytes.
"""

import contextlib
import hashlib
import os
from typing import BinaryIO, Callable, ContextManager, Iterator, List, NamedTuple, Optional, Tuple

from ..errors import BundleError
from .manifest_json import from_json_bytes, refuse_newer
from .manifest_types import Manifest
from .signature import SIGNATURE, SIGNATURE_BYTES, TrustedKeys, decode_signature, verify_signature
from .store import CHECKSUM, MANIFEST, MANIFEST_LIMIT_BYTES, checksum_line
from .zip_format import check_zip_limits
from .zip_reader import ZipReader

SUFFIX = ".coachz"
#: Files of an archive together, unless the reader is told otherwise.
LIMIT_BYTES = 2 << 30

#: Opens the file for one path of the bundle.
Sink = Callable[[str], ContextManager[BinaryIO]]


class Contents(NamedTuple):
    """What an archive holds; its id is that of the bundle that was packed.

    Attributes
    ----------
    manifest : Manifest
    bundle_id : str
    key_id : str or None
        The trusted key that signed it; None where none was asked for.
    signed_by : str or None
        The key it says it was signed by.
    """

    manifest: Manifest
    bundle_id: str
    key_id: Optional[str]
    signed_by: Optional[str]


def entry_sizes(manifest: Manifest, manifest_bytes: int, is_signed: bool) -> List[Tuple[str, int]]:
    """Every entry, in the order of the archive, and its size."""
    sizes = [(MANIFEST, manifest_bytes), (CHECKSUM, len(checksum_line("0" * 64)))]
    sizes += [(SIGNATURE, SIGNATURE_BYTES)] if is_signed else []
    return sizes + [(artefact.path, artefact.size_bytes) for artefact in manifest.artefacts]


@contextlib.contextmanager
def open_archive(path: str) -> Iterator[BinaryIO]:
    """The file, or a BundleError that says why it cannot be opened."""
    try:
        stream = open(path, "rb")
    except OSError as exc:
        hint = "name a file as coachc pack BUNDLE writes it" + (" or pack this" if os.path.isdir(path) else "")
        raise BundleError(f"cannot read {path}: {exc.strerror}", hint=hint) from exc
    with stream:
        yield stream


def read_archive(
    stream: BinaryIO,
    shown: str,
    sink: Optional[Sink] = None,
    keys: Optional[TrustedKeys] = None,
    limit_bytes: int = LIMIT_BYTES,
) -> Contents:
    """Go through an archive and check every byte of it.

    Parameters
    ----------
    stream : binary file
        Need not seek: a pipe will do.
    shown : str
        Its name, for messages.
    sink : callable, optional
        Gets the files. Not asked before the size of all of them and, with `keys`, the signature are known to be right.
    keys : TrustedKeys, optional
        One of them has to have signed it.
    limit_bytes : int
        Of all files together.

    Returns
    -------
    Contents

    Raises
    ------
    BundleError
        It is not exactly what `pack_bundle` writes, or larger than `limit_bytes`.
    SignatureError
        Keys are given and none of them signed it.
    """
    reader = ZipReader(stream, shown)
    data = reader.small(MANIFEST, range(MANIFEST_LIMIT_BYTES + 1))
    bundle_id = hashlib.sha256(data).hexdigest()
    expected = checksum_line(bundle_id)
    line = reader.small(CHECKSUM, range(len(expected), len(expected) + 1))
    signature = None
    if reader.next_name() == SIGNATURE:
        signature = reader.small(SIGNATURE, range(SIGNATURE_BYTES, SIGNATURE_BYTES + 1))
    # Before anything in the manifest is believed.
    key = None if keys is None else verify_signature(data, signature, keys, shown)
    refuse_newer(data)
    if line != expected:
        raise reader.wrong(
            f"{MANIFEST} does not match {CHECKSUM}", ascii(expected.decode()), ascii(line.decode("latin-1"))
        )
    signed_by = None if signature is None else decode_signature(signature, shown).key_id
    manifest = from_json_bytes(data)
    sizes = entry_sizes(manifest, len(data), signature is not None)
    total = sum(size for _, size in sizes)
    if total > limit_bytes:
        raise BundleError(
            f"{shown} holds {total} bytes, more than are taken",
            [f"expected  at most {limit_bytes} bytes", f"found     {total} bytes by its manifest"],
            f"--limit-mib {-(-total >> 20)} takes it, if it is as large as it should be",
        )
    check_zip_limits(sizes, shown)
    if sink is not None:
        for name, content in ((MANIFEST, data), (CHECKSUM, line), (SIGNATURE, signature)):
            if content is not None:
                with sink(name) as file:
                    file.write(content)
    for artefact in manifest.artefacts:
        with contextlib.ExitStack() as stack:
            out = None if sink is None else stack.enter_context(sink(artefact.path))
            reader.artefact(artefact.path, artefact.size_bytes, artefact.sha256, out)
    reader.end()
    return Contents(manifest, bundle_id, None if key is None else key.key_id, signed_by)
