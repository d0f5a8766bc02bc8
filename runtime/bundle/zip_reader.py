"""Read a zip of the one form that `runtime.bundle.zip_format` states, front to back, and believe nothing in it.

The caller says which entry comes next; each header is compared with the one that it has to be. What any other zip can
say (links, other names, sizes that differ between headers, compression, comments, extra fields, gaps and overlaps) has
no place in it.
"""

import hashlib
import struct
import zlib
from typing import Any, BinaryIO, Iterator, List, Optional, Sequence, Tuple

from ..errors import BundleError
from .zip_format import CENTRAL, CENTRAL_FIELDS, END, END_FIELDS, ENTRY, LOCAL, LOCAL_FIELDS, Entry, end_of_directory

HINT = "copy the file again, or pack the bundle again: coachc pack BUNDLE"
_CHUNK = 1 << 20


class ZipReader:
    """The archive from where it was read up to on; `entries` are those whose header and bytes were right.

    Every method raises BundleError where the archive is damaged, another zip, or cannot be read.

    Parameters
    ----------
    stream : binary file
        Need not seek.
    shown : str
        Its name, for messages.
    """

    def __init__(self, stream: BinaryIO, shown: str) -> None:
        self.entries: List[Entry] = []
        self._stream = stream
        self._shown = shown
        self._offset = 0
        self._header: Optional[Tuple[Tuple[Any, ...], bytes]] = None

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
        return name.decode("utf-8", "backslashreplace") if fields[0] == ENTRY else ""

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
            raw = self._read(CENTRAL.size)
            if raw.startswith(ENTRY):
                length = LOCAL.unpack_from(raw)[9]
                name = (raw[LOCAL.size :] + self._read(max(0, length - CENTRAL.size + LOCAL.size)))[:length]
                raise self.wrong("it has an entry too many", "the central directory", f"entry {_shown(name)}")
            self._compare(CENTRAL_FIELDS, entry.central, CENTRAL.unpack(raw), where)
            self._compare(["name"], (entry.name,), (self._read(len(entry.name)),), where)
        end = end_of_directory(len(self.entries), self._offset - start, start)
        self._compare(END_FIELDS, end, self._unpack(END), "the end of the central directory")
        if self._at_most(1):
            raise self.wrong("something follows the archive's end", f"{self._offset} bytes", "more")

    def wrong(self, what: str, expected: str, found: str) -> BundleError:
        """The error that the archive is not as it has to be, to be raised."""
        context = [f"expected  {expected}", f"found     {found}"]
        return BundleError(f"{self._shown} is not an archive of a bundle as it was packed: {what}", context, HINT)

    def _next_header(self) -> Tuple[Tuple[Any, ...], bytes]:
        """Local header of the next entry and its name, read once."""
        if self._header is None:
            fields = self._unpack(LOCAL)
            if fields[0] != ENTRY and not self.entries:
                raise self.wrong("it does not begin with an entry", "bytes b'PK\\x03\\x04'", f"bytes {fields[0]}")
            # Longer than the manifest allows anyway; a length of another kind of header is not one.
            length = fields[9] if fields[0] == ENTRY else 0
            self._header = fields, self._read(length)
        return self._header

    def _content(self, name: str, size: int) -> Iterator[bytes]:
        """The bytes of the next entry in chunks; its header has to be the one of an entry of that name and size."""
        index = len(self.entries) + 1
        offset = self._offset if self._header is None else self._offset - LOCAL.size - len(self._header[1])
        fields, found = self._next_header()
        raw = name.encode("utf-8")
        if fields[0] != ENTRY:
            raise self.wrong(f"entry {index} is missing", f"entry '{name}'", f"bytes {fields[0]!r}")
        if found != raw:
            raise self.wrong(f"entry {index} is another", f"entry '{name}'", f"entry {_shown(found)}")
        entry = Entry(raw, size, fields[6], offset)
        self._compare(LOCAL_FIELDS, entry.local, fields, f"entry '{name}'")
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
        data = self._at_most(count)
        self._offset += len(data)
        if len(data) < count:
            raise self.wrong("it ends too early", f"{count - len(data)} bytes more", f"{self._offset} bytes")
        return data

    def _at_most(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except OSError as exc:
            raise BundleError(f"cannot read {self._shown}: {exc.strerror or exc}", hint=HINT) from exc

    def _compare(self, names: Sequence[str], expected: Sequence[Any], found: Sequence[Any], where: str) -> None:
        for name, wanted, other in zip(names, expected, found):
            if wanted != other:
                raise self.wrong(f"{where} has another value in '{name}'", ascii(wanted), ascii(other)[:200])


def _shown(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "backslashreplace"))
