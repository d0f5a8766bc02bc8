"""labels.csv as people have it."""

import codecs
import os

import pytest

from coachc.runtime.bundle.image_folder import find_pictures
from coachc.runtime.bundle.labels_table import read_labels
from coachc.runtime.errors import SourceError

ROWS = "file,label\nim 0.jpg,4\nim 1.jpg,0\nim 2.jpg,11\n"
WANTED = {"im 0.jpg": 4, "im 1.jpg": 0, "im 2.jpg": 11}


def folder(root, data, names=tuple(WANTED)):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    (root / "labels.csv").write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return str(root)


def read(root):
    return {os.path.relpath(path, root): label for path, label in read_labels(root)}


@pytest.mark.parametrize(
    "data",
    [
        ROWS,
        ROWS.rstrip(),
        codecs.BOM_UTF8 + ROWS.replace("\n", "\r\n").encode(),
        ROWS.replace("\n", "\r"),
        ROWS.replace(",", ", "),
        ROWS.replace(",", " , "),
        ROWS.replace(",", ";"),
        "sep=;\r\n" + ROWS.replace(",", ";").replace("\n", "\r\n"),
        ROWS.replace(",", "\t"),
        ROWS + "\n  \n,\n",
        "\n\n" + ROWS,
        ROWS.replace("im 1.jpg", '"im 1.jpg"').replace("file,label", '"file", "label"'),
        ROWS.replace("file,label", "File,LABEL"),
        "label,author,file\n4,x,im 0.jpg\n0,,im 1.jpg\n11,x,im 2.jpg\n",
        "id;label;file\n1;4;im 0.jpg\n2;0;im 1.jpg\n3;11;im 2.jpg;more\n",
        ROWS + "im 0.jpg,4\n./im 0.jpg,4\n",
        ROWS.encode("utf-16"),
        codecs.BOM_UTF16_BE + ROWS.replace(",", "\t").encode("utf-16-be"),
    ],
)
def test_tables_as_programs_write_them(tmp_path, data):
    root = folder(tmp_path, data)
    assert read(root) == WANTED
    assert find_pictures(root).labels.tolist() == [4, 0, 11]


def test_names_of_any_kind(tmp_path):
    names = ("a,b.jpg", 'the "cat".jpg', "häß.jpg", "x/y.jpg", "semi;colon.jpg")
    data = 'file,label\n"a,b.jpg",0\n"the ""cat"".jpg",1\nhäß.jpg,2\nx\\y.jpg,3\nsemi;colon.jpg,4\n'
    root = folder(tmp_path, data, names)
    assert read(root) == {name: index for index, name in enumerate(names)}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("name,label\n", "found  name, label"),
        ("file;class\n", "found  file, class"),
        ("im 0.jpg,0\n", "found  im 0.jpg, 0"),
        ("file|label\nim 0.jpg|0\n", "found  file|label"),
        ("", "found  an empty table"),
        ("\n \n", "found  an empty table"),
    ],
)
def test_the_columns_found_are_named(tmp_path, data, found):
    with pytest.raises(SourceError, match="labels.csv needs the columns file,label") as caught:
        read_labels(folder(tmp_path, data))
    assert caught.value.context == (found,)
    assert caught.value.hint == "its first line names the columns: file,label"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("im 1.jpg,cat", "line 3: label 'cat'"),
        ("im 1.jpg", "line 3: label ''"),
        ("im 1.jpg,-1", "line 3: label '-1'"),
        ("im 1.jpg,1.0", "line 3: label '1.0'"),
        ("im 1.jpg," + "9" * 30, "line 3: label '9{30}'"),
        ("im 1.jpg,\u0663", "line 3: label '\u0663'"),
    ],
)
def test_a_label_is_a_class_index(tmp_path, line, shown):
    with pytest.raises(SourceError, match=shown + " is not a class index") as caught:
        read_labels(folder(tmp_path, "file,label\nim 0.jpg,0\n" + line + "\n"))
    assert caught.value.context == ("file  im 1.jpg",)
    assert caught.value.hint == "labels are whole numbers, 0 for the model's first output"


def test_one_file_with_two_labels(tmp_path):
    with pytest.raises(SourceError, match="labels.csv gives './im 0.jpg' two labels") as caught:
        read_labels(folder(tmp_path, ROWS + "./im 0.jpg,2\n"))
    assert caught.value.context == ("line 2      4", "line 5      2")


def test_files_that_are_not_there_are_counted(tmp_path):
    data = "file,label\nim 0.jpg,0\nimages/im 1.jpg,1\n\nim 2.png,2\n"
    with pytest.raises(SourceError, match="labels.csv line 3: no such file 'images/im 1.jpg'") as caught:
        read_labels(folder(tmp_path, data))
    assert caught.value.context == ("missing  2 of the 3 files it lists",)
    assert caught.value.hint == "paths are relative to the folder of labels.csv"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("file;label\nim 0.jpg;0\nh\xe4\xdf.jpg;1\n".encode("latin-1"), "line 3 has the byte 0xe4"),
        (ROWS.encode("utf-16-le"), "line 1 has a zero byte"),
        (codecs.BOM_UTF16_LE + b"f", "line 1 has the byte 0x66"),
    ],
)
def test_what_is_no_utf_8_is_said_to_be_none(tmp_path, data, found):
    with pytest.raises(SourceError, match="labels.csv is not UTF-8 text: " + found) as caught:
        read_labels(folder(tmp_path, data))
    assert "iconv -f LATIN1 -t UTF-8" in caught.value.hint


def test_a_cell_as_long_as_a_book(tmp_path):
    with pytest.raises(SourceError, match=r"labels.csv has a line that is no row of a table: xxx") as caught:
        read_labels(folder(tmp_path, ROWS + "x" * 200000 + ",1\n"))
    assert "field larger than field limit" in caught.value.context[0]


def test_pictures_without_a_label_are_named(tmp_path):
    names = (*WANTED, "im 3.jpg", "sub/1.jpg", "sub/2.jpg", "other/1.jpg")
    root = folder(tmp_path, ROWS + "sub/1.jpg,3\n", names)
    assert [(one.path, one.reason) for one in find_pictures(root).skipped] == [
        ("im 3.jpg", "no label in labels.csv"),
        ("sub/2.jpg", "no label in labels.csv"),
    ]
