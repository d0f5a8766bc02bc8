"""A bundle as one file, NAME.coachz: a zip that stores its files, of which there is exactly one for each bundle.

Everything in it but the files' bytes follows from the manifest: the order of the entries, their names and sizes, the
fixed date and attributes, the central directory. So the reader goes through the file once, front to back, compares each
header with the one it has to be, and believes none of them. What any other zip can say (links, other names, sizes that
differ between headers, compression, comments, extra fields, gaps and overlaps) has no place in it. Standard tools can
unpack one; this reader takes no other.
"""

import contextlib
import hashlib
import os
import shutil
import struct
import uuid
import zlib
from typing import Any, BinaryIO, Callable, ContextManager, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from runtime.bundle.manifest_json import from_json_bytes, refuse_newer
from runtime.bundle.manifest_types import Manifest
from runtime.bundle.signature import SIGNATURE, SIGNATURE_BYTES, TrustedKeys, decode_signature, verify_signature
from runtime.bundle.store import (
    CHECKSUM,
    MANIFEST,
    MANIFEST_LIMIT_BYTES,
    Bundle,
    check_destination,
    checksum_line,
    open_bundle,
    read_signed,
    replace_bundle,
)
from runtime.errors import BundleError

SUFFIX = ".coachz"
#: Files of an archive together, unless the reader is told otherwise.
LIMIT_BYTES = 2 << 30
HINT = "copy the file again, or pack the bundle again: coachc pack BUNDLE"

#: APPNOTE.TXT 6.3.10 (PKWARE), sections 4.3.7, 4.3.12 and 4.3.16.
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_COMMON = "version needed|flags|method|time|date|crc-32|compressed size|size|length of the name|length of extra fields"
_LOCAL_FIELDS = ["signature", *_COMMON.split("|")]
_CENTRAL_FIELDS = [
    "signature",
    "version made by",
    *_COMMON.split("|"),
    "length of the comment",
    "disk",
    "internal attributes",
    "external attributes",
    "offset",
]
_END_FIELDS = "signature|disk|first disk|entries here|entries|size of the directory|its offset|length of the comment"
_ENTRY = b"PK\x03\x04"
_VERSION = 20
_UNIX = 3 << 8
_UTF8 = 1 << 11
_MIDNIGHT, _1980_01_01 = 0, 1 << 5 | 1
_REGULAR_0644 = 0o100644 << 16
_ZIP_LIMIT = (1 << 32) - 1  # from here on sizes need zip64, which is not written
_CHUNK = 1 << 20

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


class _Entry(NamedTuple):
    name: bytes
    size: int
    crc: int
    offset: int

    @property
    def common(self) -> Tuple[int, ...]:
        """Fields that both headers of an entry have, in their order there."""
        flags = 0 if all(byte < 128 for byte in self.name) else _UTF8
        sizes = (self.crc, self.size, self.size, len(self.name), 0)
        return (_VERSION, flags, 0, _MIDNIGHT, _1980_01_01) + sizes

    @property
    def local(self) -> Tuple[Any, ...]:
        return (_ENTRY,) + self.common

    @property
    def central(self) -> Tuple[Any, ...]:
        return (b"PK\x01\x02", _UNIX | _VERSION) + self.common + (0, 0, 0, _REGULAR_0644, self.offset)


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
    sizes = _sizes(bundle.manifest, len(data), signature is not None)
    _check_zip_limits(sizes, bundle.path)
    small = {MANIFEST: data, CHECKSUM: checksum_line(bundle.bundle_id), SIGNATURE: signature or b""}
    partial = f"{destination}.{uuid.uuid4().hex}.partial"
    try:
        with open(partial, "xb") as stream:
            entries = []  # type: List[_Entry]
            for name, _ in sizes:
                content = small[name] if name in small else bundle.read(name)
                entry = _Entry(name.encode("utf-8"), len(content), zlib.crc32(content), stream.tell())
                entries.append(entry)
                stream.write(_LOCAL.pack(*entry.local) + entry.name)
                stream.write(content)
            stream.write(_directory(entries, stream.tell()))
            size = stream.tell()
        os.replace(partial, destination)
    except OSError as exc:
        raise BundleError(f"cannot write {destination}: {exc.strerror or exc}", hint="give another path") from exc
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    return size


def unpack_archive(
    path: str,
    destination: str,
    keys: Optional[TrustedKeys] = None,
    limit_bytes: int = LIMIT_BYTES,
    force: bool = False,
) -> Bundle:
    """Make a bundle of an archive, under a temporary name beside `destination` first.

    Raises
    ------
    BundleError
        The archive is not exactly what `pack_bundle` writes, or larger than `limit_bytes`; the destination is in the
        way or cannot be written.
    SignatureError
        Keys are given and none of them signed it; nothing is written then.
    """
    target = os.path.abspath(destination)
    check_destination(target, force)
    parent, name = os.path.split(target)
    partial = os.path.join(parent, f".{name}.{uuid.uuid4().hex}.partial")
    try:
        with open_archive(path) as stream:
            extract(stream, path, partial, keys, limit_bytes)
        open_bundle(partial, keys)
        replace_bundle(partial, target)
    except OSError as exc:
        raise BundleError(f"cannot write {target}: {exc.strerror or exc}", hint="give another path") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_bundle(target, keys)


def extract(
    stream: BinaryIO, shown: str, folder: str, keys: Optional[TrustedKeys], limit_bytes: int = LIMIT_BYTES
) -> Contents:
    """Write the files of an archive into a folder that does not exist yet, and all of it to the disk.

    Raises
    ------
    BundleError, SignatureError
        As `read_archive`. What was written until then stays: the caller removes it.
    OSError
        The folder cannot be written.
    """
    os.mkdir(folder)

    @contextlib.contextmanager
    def sink(path: str) -> Iterator[BinaryIO]:
        target = os.path.join(folder, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())

    contents = read_archive(stream, shown, sink, keys, limit_bytes)
    for parent, _, _ in os.walk(folder):
        sync_folder(parent)
    return contents


def sync_folder(path: str) -> None:
    """Have what a folder says about its files on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    reader = _Reader(stream, shown)
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
    sizes = _sizes(manifest, len(data), signature is not None)
    total = sum(size for _, size in sizes)
    if total > limit_bytes:
        raise BundleError(
            f"{shown} holds {total} bytes, more than are taken",
            [f"expected  at most {limit_bytes} bytes", f"found     {total} bytes by its manifest"],
            f"--limit-mib {-(-total >> 20)} takes it, if it is as large as it should be",
        )
    _check_zip_limits(sizes, shown)
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


class _Reader:
    """The archive from where it was read up to on; `entries` are those whose header and bytes were right."""

    def __init__(self, stream: BinaryIO, shown: str) -> None:
        self.entries = []  # type: List[_Entry]
        self._stream = stream
        self._shown = shown
        self._offset = 0
        self._header = None  # type: Optional[Tuple[Tuple[Any, ...], bytes]]

    def small(self, name: str, sizes: Sequence[int]) -> bytes:
        """The next entry, which has to be called `name` and to have one of `sizes`."""
        fields, _ = self._next_header()
        size = fields[8]
        if size not in sizes and self.next_name() == name:
            wanted = f"{sizes[-1]} bytes" if len(sizes) == 1 else f"at most {sizes[-1]} bytes"
            raise self.wrong(f"entry '{name}' has another size", wanted, f"{size} bytes")
        return b"".join(self._content(name, size))

    def next_name(self) -> str:
        """Name of the next entry, whose header is read for that; it may be anything. Empty where there is none."""
        fields, name = self._next_header()
        return name.decode("utf-8", "backslashreplace") if fields[0] == _ENTRY else ""

    def artefact(self, path: str, size: int, sha256: str, out: Optional[BinaryIO]) -> None:
        """The next entry, which has to be that artefact; its bytes go to `out`, not one more than `size`."""
        digest = hashlib.sha256()
        for chunk in self._content(path, size):
            digest.update(chunk)
            if out is not None:
                out.write(chunk)
        if digest.hexdigest() != sha256:
            raise self.wrong(f"entry '{path}' has changed", f"sha256 {sha256}", f"sha256 {digest.hexdigest()}")

    def end(self) -> None:
        """What follows the entries: the central directory that belongs to them, and nothing else."""
        start = self._offset
        for entry in self.entries:
            where = f"the central directory, entry '{entry.name.decode('utf-8')}'"
            raw = self._read(_CENTRAL.size)
            if raw.startswith(_ENTRY):
                length = _LOCAL.unpack_from(raw)[9]
                name = (raw[_LOCAL.size :] + self._read(max(0, length - _CENTRAL.size + _LOCAL.size)))[:length]
                raise self.wrong("it has an entry too many", "the central directory", f"entry {_shown(name)}")
            self._compare(_CENTRAL_FIELDS, entry.central, _CENTRAL.unpack(raw), where)
            self._compare(["name"], (entry.name,), (self._read(len(entry.name)),), where)
        size = self._offset - start
        count = len(self.entries)
        end = (b"PK\x05\x06", 0, 0, count, count, size, start, 0)
        self._compare(_END_FIELDS.split("|"), end, self._unpack(_END), "the end of the central directory")
        if self._stream.read(1):
            raise self.wrong("something follows the archive's end", f"{self._offset} bytes", "more")

    def wrong(self, what: str, expected: str, found: str) -> BundleError:
        context = [f"expected  {expected}", f"found     {found}"]
        return BundleError(f"{self._shown} is not an archive of a bundle as it was packed: {what}", context, HINT)

    def _next_header(self) -> Tuple[Tuple[Any, ...], bytes]:
        """Local header of the next entry and its name, read once."""
        if self._header is None:
            fields = self._unpack(_LOCAL)
            if fields[0] != b"PK\x03\x04" and not self.entries:
                raise self.wrong("it does not begin with an entry", "bytes b'PK\\x03\\x04'", f"bytes {fields[0]}")
            # Longer than the manifest allows anyway; a length of another kind of header is not one.
            length = fields[9] if fields[0] == b"PK\x03\x04" else 0
            self._header = fields, self._read(length)
        return self._header

    def _content(self, name: str, size: int) -> Iterator[bytes]:
        """The bytes of the next entry in chunks; its header has to be the one of an entry of that name and size."""
        index = len(self.entries) + 1
        offset = self._offset if self._header is None else self._offset - _LOCAL.size - len(self._header[1])
        fields, found = self._next_header()
        raw = name.encode("utf-8")
        if fields[0] != _ENTRY:
            raise self.wrong(f"entry {index} is missing", f"entry '{name}'", f"bytes {fields[0]!r}")
        if found != raw:
            raise self.wrong(f"entry {index} is another", f"entry '{name}'", f"entry {_shown(found)}")
        entry = _Entry(raw, size, fields[6], offset)
        self._compare(_LOCAL_FIELDS, entry.local, fields, f"entry '{name}'")
        self._header = None
        crc, left = 0, size
        while left:
            chunk = self._read(min(left, _CHUNK))
            left -= len(chunk)
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if crc != entry.crc:
            raise self.wrong(f"entry '{name}' has changed", f"crc-32 {entry.crc:08x}", f"crc-32 {crc:08x}")
        self.entries.append(entry)

    def _unpack(self, layout: struct.Struct) -> Tuple[Any, ...]:
        return layout.unpack(self._read(layout.size))

    def _read(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        try:
            data = self._stream.read(count)
        except OSError as exc:
            raise BundleError(f"cannot read {self._shown}: {exc.strerror or exc}", hint=HINT) from exc
        self._offset += len(data)
        if len(data) < count:
            raise self.wrong("it ends too early", f"{count - len(data)} bytes more", f"{self._offset} bytes")
        return data

    def _compare(self, names: Sequence[str], expected: Sequence[Any], found: Sequence[Any], where: str) -> None:
        for name, wanted, other in zip(names, expected, found):
            if wanted != other:
                raise self.wrong(f"{where} has another value in '{name}'", ascii(wanted), ascii(other)[:200])


def _shown(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "backslashreplace"))


def _sizes(manifest: Manifest, manifest_bytes: int, is_signed: bool) -> List[Tuple[str, int]]:
    """Every entry, in the order of the archive, and its size."""
    sizes = [(MANIFEST, manifest_bytes), (CHECKSUM, len(checksum_line("0" * 64)))]
    sizes += [(SIGNATURE, SIGNATURE_BYTES)] if is_signed else []
    return sizes + [(artefact.path, artefact.size_bytes) for artefact in manifest.artefacts]


def _check_zip_limits(sizes: Sequence[Tuple[str, int]], shown: str) -> None:
    headers = sum(_LOCAL.size + _CENTRAL.size + 2 * len(name.encode("utf-8")) for name, _ in sizes) + _END.size
    total = headers + sum(size for _, size in sizes)
    if total > _ZIP_LIMIT or len(sizes) >= 1 << 16 or any(len(name.encode("utf-8")) >= 1 << 12 for name, _ in sizes):
        raise BundleError(
            f"{shown} does not fit into an archive",
            [f"expected  at most {_ZIP_LIMIT} bytes in 65535 files with names below 4096 bytes"]
            + [f"found     {total} bytes in {len(sizes)} files"],
            "copy the bundle as the folder it is",
        )


def _directory(entries: Sequence[_Entry], offset: int) -> bytes:
    central = b"".join(_CENTRAL.pack(*entry.central) + entry.name for entry in entries)
    return central + _END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(central), offset, 0)


def _check_place(destination: str, force: bool) -> None:
    if not os.path.isdir(os.path.dirname(os.path.abspath(destination))):
        raise BundleError(f"cannot write {destination}: its folder does not exist", hint="give another path")
    if not os.path.lexists(destination):
        return
    if os.path.islink(destination) or not os.path.isfile(destination):
        raise BundleError(f"{destination} is not a file and will not be replaced", hint="give another path")
    if not force:
        raise BundleError(f"{destination} exists already", hint="--force replaces a file")
