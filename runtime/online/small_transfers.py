"""Whether a device sends too little at a time for its transfers to show the link's rate, and whether they change.

A few hundred bytes take a latency, whatever the rate; that they begin to take another time shows that something has
changed, but not what. And a link that was idle lets some kilobytes through at once: those who sell a rate shape it by a
token bucket.
"""

from .bandwidth import Transfer

#: What is larger shows the rate by itself: two packets of Ethernet.
LARGE_BYTES = 3000
#: What a link lets through at once after a pause, where it has such a bucket: 5 kB are common.
BURST_BYTES = 5000.0
#: Share of a transfer that may have gone through like that, for it to show the rate.
BURST_SHARE = 0.15
#: What is smaller than this, and this many times faster than the link is believed to be, may have gone through at once
#: after all: that the link is faster now is for a probe to say.
SURE_BYTES = 2 * BURST_BYTES
FASTER = 1.5
#: So long ago a large transfer still counts.
LARGE_KEPT_S = 1.0
#: How fast the recent duration, and the one it is compared with, follow transfers.
FAST, SLOW = 0.25, 0.02
#: Another time than it was.
SHIFT = 1.3
#: And by so many times the usual distance of one duration from the mean: five deviations of the recent one.
NOISE = 2.5
#: Before that many transfers nothing is compared.
LEAST_COUNT = 8


class SmallTransfers:
    """Watches transfers as they end.

    Attributes
    ----------
    shifted : bool
        The latest take another time than those before.
    """

    def __init__(self) -> None:
        self.shifted = False
        self._large_s = float("-inf")
        self._last_s = float("-inf")
        self._free_s = float("-inf")
        self._bucket_bytes = BURST_BYTES
        self._count = 0
        self._fast_s = self._slow_s = self._spread_s = 0.0

    def saw(self, size_bytes: float, transfer: Transfer, believed_bytes_per_s: float, beside: bool = False) -> bool:
        """One more transfer of so many bytes on the wire; whether it shows the link's rate.

        `beside`: it has shared the link with a probe, so how long it took says nothing.
        """
        self._last_s = transfer.end_s
        duration_s = transfer.end_s - transfer.start_s - max(transfer.server_s, 0.0)
        idle_s, self._free_s = transfer.start_s - self._free_s, transfer.start_s + duration_s
        if not 0 < duration_s < 1e6:
            return size_bytes >= LARGE_BYTES
        filled_bytes = min(BURST_BYTES, self._bucket_bytes + max(0.0, idle_s) * size_bytes / duration_s)
        at_once_bytes = min(filled_bytes, size_bytes)
        self._bucket_bytes = filled_bytes - at_once_bytes
        if size_bytes >= LARGE_BYTES and at_once_bytes <= BURST_SHARE * size_bytes:
            if size_bytes < SURE_BYTES and size_bytes / duration_s > FASTER * believed_bytes_per_s:
                self.shifted, self._large_s = True, float("-inf")
                return False
            self._large_s = transfer.end_s
            return True
        if not beside:
            self._compare(duration_s)
        return False

    def _compare(self, duration_s: float) -> None:
        self._count += 1
        if self._count == 1:
            self._fast_s = self._slow_s = duration_s
        self._fast_s += FAST * (duration_s - self._fast_s)
        self._slow_s += SLOW * (duration_s - self._slow_s)
        self._spread_s += max(SLOW, 1 / self._count) * (abs(duration_s - self._slow_s) - self._spread_s)
        another = not self._slow_s / SHIFT < self._fast_s < self._slow_s * SHIFT
        if self._count >= LEAST_COUNT and another and abs(self._fast_s - self._slow_s) > NOISE * self._spread_s:
            self.shifted = True

    def few(self, now_s: float) -> bool:
        """Whether transfers come, and none of late was large."""
        return now_s - self._last_s < LARGE_KEPT_S <= now_s - self._large_s

    def settle(self) -> None:
        """What the latest take is how it is now."""
        self.shifted = False
        self._slow_s = self._fast_s
