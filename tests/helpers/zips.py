"""Zip files that say what they are told to, entry by entry. Python 3.6-clean."""

import struct
import zlib

LOCAL = ("version", "flags", "method", "time", "date", "crc", "csize", "size", "name_bytes", "extra_bytes")
CENTRAL = ("made_by",) + LOCAL + ("comment_bytes", "disk", "internal", "external", "offset")
END = ("disk", "first_disk", "here", "entries", "directory_bytes", "directory_offset", "comment_bytes")


class Entry:
    """One file of a zip; `local` and `central` replace fields of its headers, `extra` and `comment` stand in them."""

    def __init__(self, name, data, local=(), central=(), extra=b"", comment=b"", trailer=b"", hidden=False):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.data = data
        self.local, self.central = dict(local), dict(central)
        self.extra, self.comment, self.trailer = extra, comment, trailer
        self.hidden = hidden

    def fields(self):
        flags = 0 if all(byte < 128 for byte in self.name) else 0x800
        sizes = {"crc": zlib.crc32(self.data), "csize": len(self.data), "size": len(self.data)}
        lengths = {"name_bytes": len(self.name), "extra_bytes": len(self.extra)}
        return {"version": 20, "flags": flags, "method": 0, "time": 0, "date": 33, **sizes, **lengths}


def both(**fields):
    """The same fields in both headers."""
    return {"local": fields, "central": fields}


def zip_bytes(entries, end=(), comment=b"", before=b"", after=b""):
    """A zip of these entries; a hidden one is not in the central directory."""
    body, directory, count = before, b"", 0
    for entry in entries:
        fields = dict(entry.fields(), **entry.local)
        offset = len(body)
        body += b"PK\x03\x04" + struct.pack("<5H3I2H", *[fields[name] for name in LOCAL])
        body += entry.name + entry.extra + entry.data + entry.trailer
        if entry.hidden:
            continue
        count += 1
        fields = dict(entry.fields(), made_by=0x314, comment_bytes=len(entry.comment), disk=0, internal=0)
        fields.update(external=0o100644 << 16, offset=offset)
        fields.update(entry.central)
        directory += b"PK\x01\x02" + struct.pack("<6H3I5H2I", *[fields[name] for name in CENTRAL])
        directory += entry.name + entry.extra + entry.comment
    fields = {"disk": 0, "first_disk": 0, "here": count, "entries": count, "directory_bytes": len(directory)}
    fields.update(directory_offset=len(body), comment_bytes=len(comment))
    fields.update(end)
    return body + directory + b"PK\x05\x06" + struct.pack("<4H2IH", *[fields[name] for name in END]) + comment + after
