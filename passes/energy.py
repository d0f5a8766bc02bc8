"""What one task takes of the device's battery."""

from __future__ import annotations

from coachc.core.plan import Timeline
from coachc.core.power import Power


def joules(timeline: Timeline, power: Power) -> float:
    """Energy of the device for one task in steady state: computing, sending, and waiting for the rest of the period.

    It rises with each stage's time and with the period, so a way that is slower at nothing takes no more.
    """
    computing = (power.busy_w - power.idle_w) * timeline.device_s
    sending = power.send_w * timeline.link_s
    return power.idle_w * timeline.period_s + computing + sending
