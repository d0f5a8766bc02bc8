"""Flag groups: what a command that takes them declares, and what it is handed."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from coachc.calib.recipe import Recipe, format_recipe
from coachc.cli import flags
from coachc.cli.flags.calibration_flags import CalibrationFlags
from coachc.cli.flags.group import FlagGroup, flags_of, takes_groups
from coachc.cli.flags.image_flags import ImageFlags
from coachc.cli.flags.link_flags import LinkFlags, LinkRangeFlags, LinksFlags, MatrixLinkFlags
from coachc.cli.flags.target_flags import MatrixTargetFlags, TargetFlags, TargetFlagsOfAsking
from coachc.cost.link import Link
from coachc.errors import UsageError
from coachc.runtime.bundle.link_file import MeasuredLink, write_link
from coachc.runtime.errors import LinkFileError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner(FlagGroup):
    scale: Annotated[float, typer.Option(help="How far.", min=0.0)] = 1.0
    note: str = "no flag"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer(FlagGroup):
    name: Annotated[str, typer.Option(help="Who.")]
    inner: Inner = Inner()
    many: Annotated[list[str] | None, typer.Option("--each", help="Repeat.")] = None


def ask(*arguments):
    """Run a command that takes both; its exit code, what it printed, what it was handed."""
    handed = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @takes_groups
    def command(place: Annotated[str, typer.Argument(metavar="PLACE")], *, outer: Outer, quick: bool = False) -> None:
        """Say what it does."""
        handed.append((place, outer, quick))

    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output, handed


def test_a_command_is_handed_one_object_a_group():
    code, _, handed = ask("here", "--name", "me", "--each", "a", "--each", "b", "--scale", "2", "--quick")
    assert code == 0
    ((place, outer, quick),) = handed
    assert (place, quick) == ("here", True)
    assert outer == Outer(name="me", inner=Inner(scale=2.0), many=["a", "b"])
    assert outer.inner.note == "no flag"


def test_defaults_required_flags_and_limits_are_those_of_the_fields():
    _, _, ((_, outer, _),) = ask("here", "--name", "me")
    assert outer == Outer(name="me")
    code, said, handed = ask("here")
    assert (code, handed) == (2, [])
    assert "Missing option '--name'" in said
    code, said, handed = ask("here", "--name", "me", "--scale", "-1")
    assert (code, handed) == (2, [])
    assert "Invalid value for '--scale'" in said


def test_a_group_knows_what_stood_on_the_command_line():
    _, _, ((_, outer, _),) = ask("here", "--name", "me", "--scale", "1.0")
    assert outer.given == outer.inner.given == {"place", "name", "scale"}
    assert outer == Outer(name="me")  # which is no part of its value


def test_help_has_the_flags_where_the_group_stands():
    code, said, _ = ask("--help")
    assert code == 0
    assert "Say what it does." in said
    order = [said.index(text) for text in ("PLACE", "--name", "--scale", "How far.", "--each", "--quick")]
    assert order == sorted(order)
    assert "note" not in said


def test_two_groups_with_one_flag_are_a_mistake_of_ours():
    def command(one: Outer, other: Inner) -> None: ...

    with pytest.raises(AssertionError, match="command: two groups have one flag"):
        takes_groups(command)


def groups():
    """Every group that is used."""
    for path in sorted(Path(flags.__path__[0]).glob("*_flags.py")):
        module = __import__(f"coachc.cli.flags.{path.stem}", fromlist=["x"])
        for name, item in vars(module).items():
            if (
                inspect.isclass(item)
                and issubclass(item, FlagGroup)
                and not name.startswith("_")
                and item is not FlagGroup
            ):
                yield item


def test_every_group_documents_itself_and_its_flags():
    found = set(groups())
    assert len(found) >= 12
    for group in found:
        assert group.__doc__ is not None
        for parameter in flags_of(group):
            (option,) = (item for item in parameter.annotation.__metadata__ if hasattr(item, "help"))
            assert option.help, f"{group.__name__}.{parameter.name}"
    assert [parameter.name for parameter in flags_of(LinkFlags)] == ["bandwidth", "rtt", "link"]
    assert {parameter.name for parameter in flags_of(CalibrationFlags)} >= {"calib", "mean", "recipe", "preview"}


def test_links_and_targets_are_parsed_by_their_groups():
    link = LinkFlags(bandwidth="8Mbit", rtt="4ms").known_link
    assert (link.bandwidth_bytes_per_s, link.rtt_s) == (1e6, 4e-3)
    assert [each.bandwidth_bytes_per_s for each in LinksFlags(bandwidth="8Mbit,16Mbit").links] == [1e6, 2e6]
    middle, bandwidths = LinkRangeFlags(bandwidth="8Mbit..32Mbit").link_and_range
    assert bandwidths == (1e6, 4e6)
    assert middle.bandwidth_bytes_per_s == pytest.approx(2e6)
    assert LinkRangeFlags().link_and_range[1] is None
    assert [spec.name for spec in TargetFlagsOfAsking().sides] == ["tx2", "a6000"]
    assert [spec.name for spec in TargetFlags(device="orin-nano", cloud="l4").sides] == ["orin-nano", "l4"]
    links = MatrixLinkFlags(bandwidths="8Mbit,1MB/s,16Mbit", rtt="4ms").links
    assert [(each.bandwidth_bytes_per_s, each.rtt_s) for each in links] == [(1e6, 4e-3), (2e6, 4e-3)]
    devices, clouds = MatrixTargetFlags(devices="orin-nano,nx,xavier-nx", clouds="l4").sides
    assert ([spec.name for spec in devices], [spec.name for spec in clouds]) == (["orin-nano", "xavier-nx"], ["l4"])
    with pytest.raises(UsageError, match="bandwidth '20' has no unit"):
        _ = LinkFlags(bandwidth="20").known_link


def test_a_measured_link_stands_for_bandwidth_and_round_trip(tmp_path):
    path = str(tmp_path / "l.json")
    measured = MeasuredLink(3e6, False, 0.0, 0.007, 0.001, None, 347, "h:1", "2026-11-30T09:15:00Z", None, 3, 40, 2.0)
    write_link(path, measured)
    link = Link(3e6, 0.007, "measured to h:1 on 2026-11-30")
    assert LinkFlags(link=path).known_link == link
    assert LinkRangeFlags(link=path).link_and_range == (link, None)
    assert LinksFlags(link=path).links == [link]
    for given, said in (({"rtt"}, "--rtt"), ({"bandwidth", "rtt", "link"}, "--bandwidth and --rtt")):
        with pytest.raises(UsageError, match=f"--link and {said} exclude each other: .* says what the link") as caught:
            _ = LinksFlags(link=path, given=frozenset(given)).links
        assert caught.value.hint == f"leave out --link or {said}"
    with pytest.raises(LinkFileError, match=r"cannot read none\.json"):
        _ = LinkFlags(link="none.json").known_link


def test_a_recipe_speaks_where_the_command_line_does_not(tmp_path):
    path = tmp_path / "r.toml"
    said = Recipe(data="rows.npz", samples=7, mean=(0.5, 0.25, 0.5), size=(8, 9))
    path.write_text(format_recipe(said))
    data = CalibrationFlags(recipe=str(path), samples=5, given=frozenset({"samples", "recipe"})).with_recipe()
    assert (data.calib, data.samples, data.budget) == (str(tmp_path / "rows.npz"), 5, None)
    assert data.images == ImageFlags(mean="0.5,0.25,0.5", size=(8, 9))
    data = CalibrationFlags(recipe=str(path), images=ImageFlags(mean="0"), given=frozenset({"mean"})).with_recipe()
    assert (data.images.mean, data.samples) == ("0", 7)
    assert CalibrationFlags().with_recipe() == CalibrationFlags()
