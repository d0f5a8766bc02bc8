"""Which of a bundle's cuts to run: the one with the shortest period at the bandwidth there is now.

Pure; the stage times are `believed_stages`'. Decided before a task starts, since the cut decides what the device has
to compute.
"""

from typing import Callable, Dict, Mapping, NamedTuple, Tuple

from .policy import Policy
from .precision import link_s, period_s

#: Another cut has to promise a period shorter by this share: a bandwidth is an estimate, and moving costs a bubble.
GAIN = 0.1
#: Tasks without a transfer after which one is sent to learn the bandwidth: a cut that sends nothing hears nothing.
PROBE_TASKS = 50
#: How fast the share of exits at a cut is forgotten, in tasks.
EXIT_MEMORY_TASKS = 50.0


class CutState(NamedTuple):
    """The cut in use, the share of its tasks that exit, by cut, and how many tasks have gone by without a transfer."""

    cut: str
    exit_shares: Tuple[Tuple[str, float], ...] = ()
    silent_tasks: int = 0


def choose_cut(
    state: CutState,
    policies: Mapping[str, Policy],
    bandwidth_bytes_per_s: float,
    outage: bool,
    excess: Callable[[str], float] = lambda cut: 1.0,
) -> CutState:
    """The cut of the next task.

    Parameters
    ----------
    state : CutState
    policies : mapping of str to Policy
        Of every cut of the bundle; a device-only one sends nothing (its rungs have no bits).
    bandwidth_bytes_per_s : float
    outage : bool
        The link is down: only a cut that sends nothing will do, if there is one.
    excess : callable
        How many times longer the period of a cut is than its slowest stage.
    """
    alone = [name for name, policy in policies.items() if not policy.rungs]
    if outage and alone:
        return state._replace(cut=alone[0])
    sending = [name for name, policy in policies.items() if policy.rungs]
    if len(sending) == 1:  # whoever compiled one cut wants that cut
        return state._replace(cut=sending[0])
    periods = periods_of(state, policies, bandwidth_bytes_per_s, excess)
    best = min(periods, key=lambda name: (periods[name], name))
    if state.silent_tasks >= PROBE_TASKS and sending and not outage:
        return state._replace(cut=min(sending, key=lambda name: (periods[name], name)), silent_tasks=0)
    if state.cut in periods and periods[best] > (1 - GAIN) * periods[state.cut]:
        return state
    return state._replace(cut=best)


def periods_of(
    state: CutState,
    policies: Mapping[str, Policy],
    bandwidth_bytes_per_s: float,
    excess: Callable[[str], float] = lambda cut: 1.0,
) -> Dict[str, float]:
    """What each cut promises, with the exits that it had lately."""
    shares = dict(state.exit_shares)
    return {
        name: expected_period_s(policy, bandwidth_bytes_per_s, shares.get(name, 0.0)) * excess(name)
        for name, policy in policies.items()
    }


def expected_period_s(policy: Policy, bandwidth_bytes_per_s: float, exit_share: float = 0.0) -> float:
    """Time between tasks at the base precision, if that share of them exits."""
    if not policy.rungs:
        return policy.device_s
    sent = 1 - exit_share
    time_s = link_s(policy.rungs[policy.base], bandwidth_bytes_per_s)
    return period_s(policy.device_s, sent * time_s, sent * policy.cloud_s, policy.server_share)


def after_task(state: CutState, cut: str, exited: bool, sent: bool) -> CutState:
    """What is known after one more task at `cut`: whether it exited early, whether it was sent."""
    state = state._replace(silent_tasks=0 if sent else state.silent_tasks + 1)
    shares = dict(state.exit_shares)
    before = shares.get(cut, 0.0)
    shares[cut] = before + (float(exited) - before) / EXIT_MEMORY_TASKS
    return state._replace(exit_shares=tuple(sorted(shares.items())))
