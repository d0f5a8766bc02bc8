"""Small videos, made where they are needed, and a video library that is a script. Python 3.6-clean."""

import numpy as np

# Codecs that OpenCV's wheels bring along; the tolerance of a gray level after coding.
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".mkv": "MJPG", ".mov": "mp4v", ".webm": "VP80"}
TOLERANCE = 4


def write_video(path, pictures, rate=25.0):
    """A video of RGB pictures; returns its path."""
    import cv2

    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix])
    height, width = pictures[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), codec, rate, (width, height))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
    writer.release()
    return path


def grays(levels, height=48, width=64):
    """One picture of each gray level."""
    return [np.full((height, width, 3), level, np.uint8) for level in levels]


class ScriptedVideo:
    """Stands for the module `cv2`: one video, whose frames come at the times given and say which they are."""

    CAP_FFMPEG, CAP_GSTREAMER = 1, 2
    CAP_PROP_POS_MSEC, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT = 0, 5, 7
    COLOR_BGR2RGB = 4
    __version__ = "0.0"

    def __init__(self, times_ms, rate=25.0, stated=None, backend=1):
        self.times_ms = list(times_ms)
        self.rate = rate
        self.stated = len(self.times_ms) if stated is None else stated
        self.backend = backend
        self.grabbed = 0

    def VideoCapture(self, path, backend):  # noqa: N802  (OpenCV's name)
        return _Capture(self, backend == self.backend)

    def cvtColor(self, frame, code):  # noqa: N802
        return frame


class _Capture:
    def __init__(self, video, opened):
        self.video = video
        self.opened = opened
        self.at = -1

    def isOpened(self):  # noqa: N802
        return self.opened

    def grab(self):
        self.at += 1
        self.video.grabbed += 1
        return self.at < len(self.video.times_ms)

    def retrieve(self):
        return True, np.full((1, 1, 3), self.at, np.uint8)

    def get(self, what):
        video = self.video
        if what == video.CAP_PROP_POS_MSEC:
            return video.times_ms[self.at]
        return {video.CAP_PROP_FPS: video.rate, video.CAP_PROP_FRAME_COUNT: video.stated}[what]

    def release(self):
        pass
