"""A node of a real SLURM that loses its link and has it again."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.netns


def test_a_node_without_a_link_is_replaced(networked_pool, networked_slurm, eventually):
    """SLURM runs its replica elsewhere; the old one, which still lives there, is not believed. When the link
    is back, SLURM ends what it had given up, and `up` tops up what is missing."""
    pool, slurm = networked_pool, networked_slurm
    assert pool.coral("up", "--wait")[0] == 0
    (before,) = [one["record"] for one in pool.all()]
    node = before["node"]
    assert before["url"].startswith(f"http://{slurm.address(node)}:")
    slurm.set_link(node, "down")
    (moved,) = pool.all_ready(1, job=before["job"], requeued=1)
    assert moved["node"] != node
    slurm.set_link(node, "up")
    eventually(lambda: slurm.run("sinfo", "-h", "-n", node, "-o", "%T").split()[0] in {"idle", "mixed"})
    eventually(lambda: pool.coral("up", "--wait")[0] == 0)
    assert len(pool.all_ready(1)) == 1
