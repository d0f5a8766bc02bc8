"""How many threads an engine may have on this machine's processor cores."""

import os


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_for(asked: int) -> int:
    """Threads of ONNX Runtime: those asked for, else one a core this process is confined to.

    0, by which ONNX Runtime takes one for each core of the machine, where it is confined to none. It would place them
    itself, also on cores that `taskset` or a container has given to another program.
    """
    if asked:
        return asked
    usable = usable_cores()
    return usable if usable < (os.cpu_count() or usable) else 0
