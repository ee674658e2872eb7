"""Room for workers is checked before one starts, and an address at which nobody answers is refused."""

import pytest

from kinbits.errors import PlatformError, UsageError
from kinbits.scale.cluster import Room, connected, find_room


def node(cpus, gpus=0, alive=True):
    return {"Alive": alive, "Resources": {"CPU": cpus, **({"GPU": gpus} if gpus else {})}}


def test_without_a_wish_each_node_gets_one_worker_of_the_smallest_node():
    assert find_room([node(8), node(4), node(64, alive=False)], None, None, 0) == Room(3, 4, 0)


def test_workers_share_a_node_by_fractions():
    assert find_room([node(2)], None, 0.5, 0) == Room(4, 0.5, 0)
    assert find_room([node(0.3)], None, 0.1, 0) == Room(3, 0.1, 0)


def test_a_node_without_cpus_such_as_a_head_gets_no_worker():
    assert find_room([node(0), node(4)], None, None, 0) == Room(1, 4, 0)


def test_gpus_limit_the_workers_and_nodes_without_are_left_out():
    assert find_room([node(16, gpus=4), node(32)], None, None, 1) == Room(4, 4, 1)
    assert find_room([node(16, gpus=1)], None, 2, 0.25) == Room(4, 2, 0.25)


def test_a_worker_that_fits_nowhere_is_refused():
    with pytest.raises(UsageError, match=r"a worker of 3 CPUs fits on no node .*2 CPUs, 0 GPUs"):
        find_room([node(2), node(2)], None, 3, 0)
    with pytest.raises(UsageError, match="1 GPUs fits on no node"):
        find_room([node(2)], None, None, 1)


def test_more_workers_than_fit_are_refused():
    with pytest.raises(UsageError, match="5 workers of 1 CPUs do not fit: the cluster has room for 4"):
        find_room([node(2), node(2)], 5, 1, 0)


@pytest.mark.parametrize("address", ["nowhere", "ray://127.0.0.1:10001", "127.0.0.1:many"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="is no address of a cluster"), connected(address):
        raise AssertionError


def test_an_address_at_which_nobody_answers_is_refused_at_once():
    with pytest.raises(PlatformError, match=r"nothing answers at 127\.0\.0\.1:1 "), connected("127.0.0.1:1"):
        raise AssertionError


def test_parts_of_several_gpus_are_refused():
    assert find_room([node(8, gpus=4)], None, 1, 2) == Room(2, 1, 2)
    with pytest.raises(UsageError, match=r"1\.5 GPUs for each worker; .* give a whole number"):
        find_room([node(8, gpus=4)], None, 1, 1.5)
