"""Leases of GPUs: a stress test with kills, and who gets what among given tickets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leases_stress import stress

from foldstack.gpus import leases
from foldstack.gpus.leases import Ticket, grant

GPUS = ["A", "B", "C", "D"]


def test_killed_claimants_neither_share_a_gpu_nor_leave_one_behind(tmp_path, monkeypatch):
    monkeypatch.setenv(leases.FOLDER, str(tmp_path))
    outcome = stress(claimants=6, wanted=120, seed=1)
    assert outcome.leases >= 120
    assert outcome.kills > 5
    assert outcome.doubly_held == outcome.left_behind == 0
    assert outcome.fewest > 0


def test_a_planted_double_lease_is_seen(tmp_path, monkeypatch):
    """The evidence would show it: here everybody is given the first GPU."""
    monkeypatch.setenv(leases.FOLDER, str(tmp_path))
    monkeypatch.setattr(leases, "grant", lambda tickets, mine: GPUS[: mine.n])
    assert stress(claimants=6, wanted=60, seed=1).doubly_held > 0


def waiting(name, n=1, part=1.0, gpus=GPUS):
    return Ticket(name, n, part, list(gpus))


def holding(*gpus, part=1.0):
    return Ticket("0", len(gpus), part, list(gpus), holds=True)


def test_the_preferred_gpu_comes_first_and_a_share_goes_to_the_fullest_that_it_fits():
    mine = waiting("5", gpus=["C", "A"])
    assert grant([mine], mine) == ["C"]
    share = waiting("5", part=0.25)
    assert grant([holding("B", part=0.5), holding("C", part=0.9), share], share) == ["B"]


def test_who_came_first_is_served_first_and_keeps_back_what_it_waits_for():
    large, small = waiting("1", n=2), waiting("2")
    held = [holding("A"), holding("B"), holding("C")]
    assert grant([*held, large, small], large) is None
    assert grant([*held, large, small], small) is None, "D is kept back"
    pinned = waiting("1", gpus=["A"])
    assert grant([*held, pinned, small], small) == ["D"], "the pinned one has no use for D"


tickets = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([1.0, 0.5, 1 / 3, 0.25]), st.permutations(GPUS)), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(tickets)
def test_granted_one_after_another_no_gpu_is_ever_full_beyond_measure(wanted):
    live = []
    for number, (n, part, gpus) in enumerate(wanted):
        mine = Ticket(f"{number:03}", n, part, list(gpus))
        live.append(mine)
        granted = grant(live, mine)
        if granted:
            mine.gpus, mine.holds = granted, True
            assert len(set(granted)) == n
    for gpu in GPUS:
        assert sum(ticket.part for ticket in live if ticket.holds and gpu in ticket.gpus) <= 1 + 1e-6
    # Whoever came first and still waits could not be served even alone among the holders.
    first = next((ticket for ticket in live if not ticket.holds), None)
    if first:
        free = [1 - sum(t.part for t in live if t.holds and gpu in t.gpus) for gpu in GPUS]
        assert sum(part >= first.part - 1e-6 for part in free) < first.n


def test_a_waiting_ticket_that_is_not_among_them_is_a_mistake():
    with pytest.raises(ValueError, match="not among"):
        grant([], waiting("1"))
