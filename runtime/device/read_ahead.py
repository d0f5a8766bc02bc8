"""What a task is made of, read in a thread of its own while the tasks before it are computed."""

import queue
import threading
from typing import Any, Generator, Iterable, List

#: Read before they are asked for: pictures take uneven times, and are large.
DEPTH = 2
#: A reader that nobody reads from any more notices that so soon.
LOOK_S = 0.1


class _End:
    """Behind the last item, with what ended the reading early."""

    def __init__(self, error: Any) -> None:
        self.error = error


def read_ahead(items: Iterable[Any]) -> Generator[Any, None, None]:
    """The same items, at most `DEPTH` of them read before they are asked for.

    Raises
    ------
    BaseException
        What reading raises, after the items before it.
    """
    waiting: "queue.Queue[Any]" = queue.Queue(DEPTH)
    over: List[bool] = []

    def put(item: Any) -> bool:
        while not over:
            try:
                waiting.put(item, timeout=LOOK_S)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        error = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as exc:  # carried to the thread that reads from here, which raises it
            error = exc
        finally:
            # A generator holds files open, and has to be closed by the thread that runs it.
            close = getattr(items, "close", None)
            if close is not None:
                close()
        put(_End(error))

    thread = threading.Thread(target=read, name="reader", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        over.append(True)
        thread.join()
