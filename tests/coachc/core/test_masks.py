"""Bit masks of nodes."""

from __future__ import annotations

import pytest

from coachc.core.masks import bits_of, mask_of, side_of


@pytest.mark.parametrize("nodes", [(), (0,), (1, 3), (0, 63, 64, 200)])
def test_a_mask_is_its_nodes(nodes):
    assert mask_of(nodes) == sum(1 << node for node in nodes)
    assert tuple(bits_of(mask_of(reversed(nodes)))) == nodes
    assert mask_of((*nodes, *nodes)) == mask_of(nodes)


def test_a_node_in_the_mask_is_on_the_device():
    assert [side_of(node, 0b101) for node in range(4)] == ["device", "cloud", "device", "cloud"]
