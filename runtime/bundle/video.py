"""Video files as frames: which of them are taken, and their pixels one at a time.

Needs OpenCV, imported where it is used. JetPack has one for Python 3.6, and a bundle's halves have to see the same
frames on every machine, so nothing else decodes videos.

How many frames a file holds is found by decoding it once: what headers say is an estimate in some containers, absent
in others, and wrong in damaged files.
"""

import math
import os
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import SourceError
from .skipped import printable

# Matroska rounds timestamps to milliseconds, so a frame may come that much before its time.
_EARLY_S = 0.002
# Of the frames a header states some may be missing: decoders leave out what precedes the first key frame.
_READABLE_SHARE = 0.9
_BACKENDS = ("CAP_FFMPEG", "CAP_GSTREAMER")
_MEND = "copy it again, or keep what can be read: ffmpeg -i OLD -c:v mjpeg -q:v 2 NEW.avi"


def choose_frames(path: str, frames_per_second: Optional[float] = None, limit: Optional[int] = None) -> np.ndarray:
    """Which frames of a video to take. Decodes it once, and converts no pixels.

    Parameters
    ----------
    path : str
    frames_per_second : float, optional
        Of each period of that length, counted from the first frame, take the first frame; all frames where the video
        has fewer a second. Without, take every frame.
    limit : int, optional
        At most that many, 1 or more; what lies behind them is not looked at.

    Returns
    -------
    ndarray of int64
        Positions among the decoded frames, ascending; at least one.

    Raises
    ------
    SourceError
        If the video cannot be decoded, or much less of it than its header states, or OpenCV is missing.
    """
    if frames_per_second is not None and not (frames_per_second > 0 and math.isfinite(frames_per_second)):
        raise SourceError(f"{frames_per_second} frames a second cannot be taken", hint="for example 20")
    cv2, capture = _opened(path)
    stated, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    period_s = 1.0 / rate if rate > 0 else 0.0
    chosen: List[int] = []
    count, slot, first_s, now_s = 0, -1, 0.0, 0.0
    while limit is None or len(chosen) < limit:
        if not capture.grab():
            _check_complete(path, count, now_s - first_s + period_s, stated, period_s)
            break
        at_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        if count == 0:
            # OpenCV 4.1.1 states when a frame ends, later versions when it begins: only differences count.
            first_s = now_s = at_s
        else:
            # For the last frames of a file some versions state 0.
            now_s = at_s if at_s > now_s else now_s + period_s
        wanted = count if frames_per_second is None else int((now_s - first_s + _EARLY_S) * frames_per_second)
        if wanted > slot:
            chosen.append(count)
            slot = wanted
        count += 1
    capture.release()
    return np.array(chosen, dtype=np.int64)


def read_frames(path: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames of a video, decoded as they are asked for.

    Parameters
    ----------
    path : str
    frames : sequence of int
        As `choose_frames` gives them.

    Yields
    ------
    ndarray of uint8, shape (H, W, 3)
        In RGB order.

    Raises
    ------
    SourceError
        If the video does not have these frames, or OpenCV is missing.

    Notes
    -----
    Frames that a camera stored lying on their side are turned upright by OpenCV 4.5 and later, not by JetPack's 4.1.1.
    """
    cv2, capture = _opened(path)
    count = 0
    try:
        for wanted in frames:
            while count <= wanted:
                if not capture.grab():
                    raise SourceError(f"{path} ends after {count} frames, and had more when it was opened")
                count += 1
            found, frame = capture.retrieve()
            if not found:
                raise SourceError(f"cannot decode frame {wanted} of {path}", hint=_MEND)
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def read_clips(paths: Sequence[str], frames: np.ndarray, groups: np.ndarray) -> Iterator[np.ndarray]:
    """Frames of several videos, one after the other.

    Parameters
    ----------
    paths : sequence of str
        The file of each row.
    frames, groups : ndarray of int64, shape (rows,)
        Position in its file, ascending within a group, and the video it belongs to. Rows of a group are neighbours.

    Yields
    ------
    ndarray of uint8, shape (H, W, 3)
        In RGB order.
    """
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups)).tolist()
    for begin, end in zip([0] + ends, ends):
        for frame in read_frames(paths[begin], frames[begin:end].tolist()):
            yield frame


def _check_complete(path: str, count: int, covered_s: float, stated: float, period_s: float) -> None:
    """Raise SourceError if much is missing, counted in frames and in time: a header may have estimated either."""
    if count == 0:
        raise SourceError(f"{path} has no frame that can be decoded", hint=_MEND)
    enough = _READABLE_SHARE * stated
    if count < enough and covered_s < enough * period_s:
        raise SourceError(
            f"{path} is damaged, or was trimmed without coding it anew",
            [f"frames stated   {int(stated)}", f"frames decoded  {count}"],
            _MEND,
        )


def _opened(path: str) -> Tuple[Any, Any]:
    """OpenCV, and the file in it."""
    cv2 = _opencv()
    # Absolute: the colon of a relative path would end the name of a protocol.
    name = os.path.abspath(path)
    if printable(name) != name:
        # OpenCV ends the process at such a name (4.6 and 5.0 do).
        raise SourceError(f"the name of {printable(path)} is no UTF-8, which OpenCV needs", hint="rename it")
    for backend in _BACKENDS:
        capture = cv2.VideoCapture(name, getattr(cv2, backend))
        if capture.isOpened():
            return cv2, capture
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        raise SourceError(f"{path} is empty", hint="copy it again")
    raise SourceError(
        f"cannot read {path} as a video",
        [f"it is none, or is damaged, or OpenCV {cv2.__version__} does not know its codec"],
        _MEND,
    )


def _opencv() -> Any:
    # Read when OpenCV is loaded: what is wrong with a file is said once, by us. -8 is libav's level "quiet".
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    try:
        import cv2
    except ImportError as exc:
        raise SourceError(
            "OpenCV is not installed, and videos need it",
            [str(exc)],
            "pip install 'coachc[video]'; on a Jetson, the OpenCV of JetPack",
        ) from exc
    return cv2
