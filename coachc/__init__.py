"""coachc: compile an ONNX vision model into a device half, a cloud half and the quantized link between them."""

__version__ = "0.1.0"
