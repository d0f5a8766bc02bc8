"""Pack a bundle: write it as the one archive there is of it. Same bundle, same bytes, whenever and wherever."""

import contextlib
import hashlib
import os
import uuid
import zlib

from ..errors import BundleError
from .archive import entry_sizes
from .destination import check_folder
from .signature import SIGNATURE
from .store import CHECKSUM, MANIFEST, Bundle, checksum_line, read_signed
from .zip_format import LOCAL, Entry, check_zip_limits, directory


def pack_bundle(bundle: Bundle, destination: str, force: bool = False) -> int:
    """Write a bundle as one file, under another name first. Same bundle, same bytes, whenever and wherever.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    BundleError
        The destination is in the way or cannot be written; the bundle has changed since it was opened, or is too large.
    """
    _check_place(destination, force)
    data, signature = read_signed(bundle.path)
    if hashlib.sha256(data).hexdigest() != bundle.bundle_id:
        raise BundleError(
            f"{MANIFEST} in {bundle.path} has changed", hint="do not write to a bundle while it is packed"
        )
    sizes = entry_sizes(bundle.manifest, len(data), signature is not None)
    check_zip_limits(sizes, bundle.path)
    small = {MANIFEST: data, CHECKSUM: checksum_line(bundle.bundle_id), SIGNATURE: signature or b""}
    partial = f"{destination}.{uuid.uuid4().hex}.partial"
    try:
        with open(partial, "xb") as stream:
            entries = []
            for name, _ in sizes:
                content = small[name] if name in small else bundle.read(name)
                entry = Entry(name.encode("utf-8"), len(content), zlib.crc32(content), stream.tell())
                entries.append(entry)
                stream.write(LOCAL.pack(*entry.local) + entry.name)
                stream.write(content)
            stream.write(directory(entries, stream.tell()))
            size = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
        _check_place(destination, force)  # somebody may have packed meanwhile
        os.replace(partial, destination)
    except OSError as exc:
        raise BundleError(f"cannot write {destination}: {exc.strerror or exc}", hint="give another path") from exc
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    return size


def _check_place(destination: str, force: bool) -> None:
    check_folder(os.path.dirname(os.path.abspath(destination)), destination)
    if not os.path.lexists(destination):
        return
    if os.path.islink(destination) or not os.path.isfile(destination):
        raise BundleError(f"{destination} is not a file and will not be replaced", hint="give another path")
    if not force:
        raise BundleError(f"{destination} exists already", hint="--force replaces a file")
