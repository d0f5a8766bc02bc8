"""A function over many items by a few threads that look ahead, its results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Cores that this process may use, and threads that work ahead: what each of them holds costs memory.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WORKERS = min(CORES, 8)


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = WORKERS, waiting: int = 2
) -> Iterator[Result]:
    """What `function` makes of each item; items are asked for as they are needed, by the caller's thread.

    Parameters
    ----------
    function : callable
        Called by several threads at once.
    items : iterable
    workers : int
    waiting : int
        Items begun before their result is asked for, for each worker. Whoever stops asking ends them.
    """
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > waiting * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
