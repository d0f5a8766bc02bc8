"""A target of each TensorRT generation."""

from coachc.targets.target import Target

ALL = {
    "8.2": Target("tx2", "8.2", "8.2.1", "6.2", ("fp16", "fp32"), fast_int8=False),
    "8.5": Target("xavier-nx", "8.5", "8.5.2", "7.2", ("int8", "fp16", "fp32")),
    "8.6": Target("x", "8.6", "8.6.1", "8.6", ("int8", "fp16", "fp32")),
    "10": Target("orin", "10", "10.3", "8.7", ("int8", "fp16", "fp32")),
    "11": Target("a6000", "11", "11.4", "8.6", ("int8", "fp16", "fp32")),
    "rtx": Target("rtx", "rtx", "1.7", "8.9", ("int8", "fp16", "fp32")),
}
