"""Tables in few columns: every digit stays, names stay apart, and nothing is wider than asked."""

from __future__ import annotations

import io
import random
import re

import pytest

from coachc.cli.screen import PIPE_COLUMNS, Screen
from coachc.cli.short_names import fitted
from coachc.cli.table_layout import Column, Row, table_lines

COLUMNS = (
    Column("", "text"),
    Column("cut", "name"),
    *map(Column, ("bits", "device ms", "frames/s")),
    Column("note", "text"),
)


def texts(columns, rows, width):
    return [line.text for line in table_lines(columns, rows, width)]


def test_a_table_that_fits_is_aligned():
    rows = [
        Row(("> split", "/layer3/relu", "4", "0.66", "1,507.3", "the best"), bold=True),
        Row(("  device only", "", "-", "1.08", "927.8", "")),
    ]
    assert texts(COLUMNS, rows, 80) == [
        "               cut           bits  device ms  frames/s  note",
        "> split        /layer3/relu     4       0.66   1,507.3  the best",
        "  device only                   -       1.08     927.8",
    ]
    assert [line.bold for line in table_lines(COLUMNS, rows, 80)] == [False, True, False]


def test_titles_and_texts_wrap_before_anything_is_shortened():
    rows = [Row(("  cloud only, raw", "/layer3/relu", "4", "0.66", "1,507.3", "best of all"))]
    assert texts(COLUMNS, rows, 53) == [
        "       cut           bits  device  frames/s  note",
        "                               ms",
        "cloud  /layer3/relu     4    0.66   1,507.3  best of",
        "  only,                                        all",
        "  raw",
    ]


def test_a_table_that_does_not_fit_is_a_list():
    rows = [
        Row(("> split", "/layer3/relu\n/layer2/add", "4\n5", "0.66", "1,507.3", "best of all")),
        Row(("  none", "", "-", "1", "2", "")),
    ]
    assert texts(COLUMNS, rows, 40) == [
        "> split",
        "  cut: /layer3/relu; /layer2/add",
        "  bits: 4; 5   device ms: 0.66",
        "  frames/s: 1,507.3   note: best of all",
        "  none",
        "  bits: -   device ms: 1   frames/s: 2",
    ]


def test_names_differ_in_lists_too():
    names = [f"/backbone/features/{stage}/block/conv/Conv_output" for stage in ("first", "second")]
    columns = (Column("cut", "name"), *(Column(f"figure{place}") for place in range(6)))
    shown = texts(columns, [Row((name, *"123456")) for name in names], 40)
    heads = [line for line in shown if not line.startswith(" ")]
    assert len(set(heads)) == 2
    assert all(head.startswith("/backbone/") and head.endswith("/Conv_output") for head in heads)


def test_cells_of_several_lines_stay_beside_each_other():
    columns = (Column("value", "name"), Column("bits"))
    rows = [Row(("/features/stage_a/block/conv\n/head/relu", "4\n8"))]
    assert texts(columns, rows, 24) == [
        "value               bits",
        "/features/stage_a/     4",
        "block/conv",
        "/head/relu             8",
    ]


def test_names_keep_their_ends_and_differ():
    names = ["/backbone/stage_1/block_1/branch/Conv_3", "/backbone/stage_1/block_2/branch/Conv_3", "/x"]
    assert fitted(names, 40) == dict(zip(names, names, strict=True))
    assert fitted([names[0]], 30, 1) == {names[0]: "/backbone/stage_1/…/Conv_3"}
    # Without its middle the first two would be one.
    assert fitted(names, 16)[names[0]] == "/backbone/\nstage_1/block_1/\nbranch/Conv_3"
    assert fitted(["abcdefghijklmnopqrstuvwxyz"], 11, 1) == {"abcdefghijklmnopqrstuvwxyz": "abcde…vwxyz"}


@pytest.mark.parametrize("seed", range(30))
def test_random_tables_lose_nothing(seed):
    chance = random.Random(seed)
    kinds = [chance.choice(["number", "name", "text"]) for _ in range(chance.randint(1, 12))]
    columns = [Column(chance.choice(["ms", "device ms", "frames/s", "what it is"]), kind) for kind in kinds]
    part = ["conv", "block", "layer", "downsample", "relu"]

    def cell(kind):
        if kind == "number":
            return f"{chance.random() * 10 ** chance.randint(0, 7):,.2f}"
        if kind == "name":
            return "".join(f"/{chance.choice(part)}" for _ in range(chance.randint(1, 9)))
        return " ".join(chance.choice(part) for _ in range(chance.randint(0, 5)))

    rows = [Row(tuple(cell(kind) for kind in kinds)) for _ in range(4)]
    numbers = sorted(row.cells[place] for row in rows for place, kind in enumerate(kinds) if kind == "number")
    for width in (40, 60, 80, 120, 200):
        shown = texts(columns, rows, width)
        assert sorted(re.findall(r"[\d,]+\.\d\d", "\n".join(shown))) == numbers, f"seed {seed}, {width}"
        for row in rows:
            for place, kind in enumerate(kinds):
                if kind == "text":
                    assert set(row.cells[place].split()) <= set(" ".join(shown).replace(";", "").split())
        assert all(len(line) <= width or max(map(len, line.split())) > width - 16 for line in shown)


def test_a_screen_takes_the_width_it_is_told(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Screen(io.StringIO()).width == PIPE_COLUMNS
    monkeypatch.setenv("COLUMNS", "72")
    assert Screen(io.StringIO()).width == 72
    monkeypatch.setenv("COLUMNS", "7")
    assert Screen(io.StringIO()).width == 40
    for odd in ("", "0", "-5", "wide"):
        monkeypatch.setenv("COLUMNS", odd)
        assert Screen(io.StringIO()).width == PIPE_COLUMNS


def shown(text, hang=2, **options):
    stream = io.StringIO()
    Screen(stream, **options).line(text, hang, bold=True)
    return stream.getvalue()


def test_lines_hang_and_paths_stay_whole(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    path = "/data/models/a-very-long-folder/with-more-below/resnet101.coach"
    text = f"bundle    written to {path} just now, as it was asked for"
    assert shown(text, 10, width=40) == (
        f"bundle    written to\n          {path}\n          just now, as it was asked for\n"
    )
    # A fact a line in a pipe, for grep.
    assert shown(text) == f"{text}\n"
    monkeypatch.setenv("COLUMNS", "40")
    assert shown(text, 10).count("\n") == 3


@pytest.mark.parametrize(
    ("variables", "styled"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "TERM": "dumb"}, False)],
)
def test_styles_only_where_they_are_wanted(variables, styled, monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[1m" in shown("text")) == styled
