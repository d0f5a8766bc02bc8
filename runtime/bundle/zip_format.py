"""The one form of zip that an archive has: the bytes of its headers and of its central directory.

Every field follows from the names, sizes and checksums of the entries: stored without compression, a fixed date and
fixed attributes, no extra fields, no comments, no zip64.
"""

import struct
from typing import Any, NamedTuple, Sequence, Tuple

from ..errors import BundleError

#: A local header, one of the central directory, and its end: APPNOTE.TXT 6.3.10 (PKWARE), sections 4.3.7, 4.3.12 and
#: 4.3.16. Names follow the first two. After each what its fields are called in messages.
LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
_COMMON = "version needed|flags|method|time|date|crc-32|compressed size|size|length of the name|length of extra fields"
LOCAL_FIELDS = ["signature", *_COMMON.split("|")]
CENTRAL_FIELDS = [
    "signature",
    "version made by",
    *_COMMON.split("|"),
    "length of the comment",
    "disk",
    "internal attributes",
    "external attributes",
    "offset",
]
END_FIELDS = (
    "signature|disk|first disk|entries here|entries|size of the directory|its offset|length of the comment".split("|")
)
#: What a local header begins with.
ENTRY = b"PK\x03\x04"
_VERSION = 20
_UNIX = 3 << 8
_UTF8 = 1 << 11
_MIDNIGHT, _1980_01_01 = 0, 1 << 5 | 1
_REGULAR_0644 = 0o100644 << 16
_ZIP_LIMIT = (1 << 32) - 1  # from here on sizes need zip64, which is not written


class Entry(NamedTuple):
    """One file of an archive, and what its headers have to be.

    Attributes
    ----------
    name : bytes
        In UTF-8.
    size : int
        Bytes, which are stored as they are.
    crc : int
        CRC-32 of them.
    offset : int
        Where its local header begins, in bytes from the start of the archive.
    """

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
        """Fields of its local header, as `LOCAL` packs them."""
        return (ENTRY,) + self.common

    @property
    def central(self) -> Tuple[Any, ...]:
        """Fields of its header in the central directory, as `CENTRAL` packs them."""
        return (b"PK\x01\x02", _UNIX | _VERSION) + self.common + (0, 0, 0, _REGULAR_0644, self.offset)


def end_of_directory(count: int, size: int, offset: int) -> Tuple[Any, ...]:
    """Fields of the end of a central directory of `count` entries and `size` bytes that begins at `offset`."""
    return (b"PK\x05\x06", 0, 0, count, count, size, offset, 0)


def directory(entries: Sequence[Entry], offset: int) -> bytes:
    """The central directory of these entries, in their order, and its end; it begins at `offset`."""
    central = b"".join(CENTRAL.pack(*entry.central) + entry.name for entry in entries)
    return central + END.pack(*end_of_directory(len(entries), len(central), offset))


def check_zip_limits(sizes: Sequence[Tuple[str, int]], shown: str) -> None:
    """Whether entries fit into a zip without zip64.

    Parameters
    ----------
    sizes : sequence of (str, int)
        Names and bytes.
    shown : str
        The archive or bundle, for messages.

    Raises
    ------
    BundleError
        They are too large together, too many, or one has too long a name.
    """
    headers = sum(LOCAL.size + CENTRAL.size + 2 * len(name.encode("utf-8")) for name, _ in sizes) + END.size
    total = headers + sum(size for _, size in sizes)
    if total > _ZIP_LIMIT or len(sizes) >= 1 << 16 or any(len(name.encode("utf-8")) >= 1 << 12 for name, _ in sizes):
        raise BundleError(
            f"{shown} does not fit into an archive",
            [f"expected  at most {_ZIP_LIMIT} bytes in 65535 files with names below 4096 bytes"]
            + [f"found     {total} bytes in {len(sizes)} files"],
            "copy the bundle as the folder it is",
        )
