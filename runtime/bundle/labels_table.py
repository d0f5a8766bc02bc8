"""`labels.csv`: a table of files and their classes, as spreadsheets, scripts and people write it.

Taken as they come: a byte order mark and UTF-16 (spreadsheets' "Unicode text"), any line ends, spaces around commas,
semicolons or tabs between columns, Excel's first line `sep=;`, quotes, further columns, empty lines. What a table says
about its files is not taken as it comes: a file that is not there, or with two labels, is an error.
"""

import codecs
import csv
import os
import re
from typing import Dict, List, Tuple

from ..errors import SourceError
from .skipped import printable

LABELS_FILE = "labels.csv"
COLUMNS = ("file", "label")
_DELIMITERS = (",", ";", "\t")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_labels(root: str) -> List[Tuple[str, int]]:
    """What `labels.csv` of a folder says, in its order, each file once.

    Parameters
    ----------
    root : str
        The folder; names of files are relative to it.

    Returns
    -------
    list of (str, int)
        Paths, and class indices of at least 0.

    Raises
    ------
    SourceError
        If the table cannot be read, lacks a column, names a file that is not there or gives one file two labels.
    """
    table = os.path.join(root, LABELS_FILE)
    found: Dict[str, Tuple[str, int, int]] = {}  # normal path -> path, label, line
    missing = []
    for line, name, text in _rows(table, _text(table)):
        if not re.match(r"[0-9]{1,18}\Z", text):
            raise SourceError(
                f"{table} line {line}: label '{text}' is not a class index",
                [f"file  {name}"],
                "labels are whole numbers, 0 for the model's first output",
            )
        path = _path(root, name)
        if not os.path.isfile(path):
            missing.append((line, name))
            continue
        key, label = os.path.normpath(path), int(text)
        _, known, first = found.setdefault(key, (path, label, line))
        if known != label:
            raise SourceError(
                f"{table} gives '{name}' two labels",
                [f"line {first:<6} {known}", f"line {line:<6} {label}"],
                "leave one of the lines out",
            )
    if missing:
        line, name = missing[0]
        raise SourceError(
            f"{table} line {line}: no such file '{name}'",
            [f"missing  {len(missing)} of the {len(missing) + len(found)} files it lists"],
            f"paths are relative to the folder of {LABELS_FILE}",
        )
    return [(path, label) for path, label, _ in found.values()]


def _text(table: str) -> str:
    try:
        with open(table, "rb") as stream:
            data = stream.read()
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except OSError as exc:
        raise SourceError(f"cannot read {table}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise _no_text(table, f"line {line} has the byte 0x{data[exc.start]:02x}") from exc
    if "\0" in text:
        raise _no_text(table, "line {} has a zero byte".format(text[: text.index("\0")].count("\n") + 1))
    return text


def _no_text(table: str, found: str) -> SourceError:
    return SourceError(
        f"{table} is not UTF-8 text: {found}",
        hint="save it as 'CSV UTF-8', or: iconv -f LATIN1 -t UTF-8 OLD > labels.csv",
    )


def _rows(table: str, text: str) -> List[Tuple[int, str, str]]:
    """Line number, file and label of each row that is not empty."""
    lines = re.split("\r\n|\r|\n", text)
    start = next(
        (index for index, line in enumerate(lines) if line.strip() and not line.startswith("sep=")), len(lines)
    )
    header = "".join(lines[start : start + 1])
    headers = {mark: [name.strip().lower() for name in _fields(header, mark)] for mark in _DELIMITERS}
    suits = [mark for mark in _DELIMITERS if set(COLUMNS) <= set(headers[mark])]
    if not suits:
        columns = max(headers.values(), key=len)
        raise SourceError(
            f"{table} needs the columns file,label",
            ["found  " + (printable(", ".join(columns)) if header else "an empty table")],
            "its first line names the columns: file,label",
        )
    places = [headers[suits[0]].index(column) for column in COLUMNS]
    rows = []
    for index, line in enumerate(lines[start + 1 :], start + 2):
        fields = [field.strip() for field in _fields(line, suits[0])]
        if any(fields):
            name, label = (fields[place] if place < len(fields) else "" for place in places)
            rows.append((index, name, label))
    return rows


def _fields(line: str, delimiter: str) -> List[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as exc:
        raise SourceError(f"{LABELS_FILE} has a line that is no row of a table: {line[:40]}...", [str(exc)]) from exc


def _path(root: str, name: str) -> str:
    """The file that a table names, with '/' or, from Windows, with '\\'."""
    path = os.path.join(root, name)
    return path if os.path.isfile(path) else os.path.join(root, name.replace("\\", "/"))
