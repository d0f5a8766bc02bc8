"""Nothing to set up: pyproject.toml says it all. A checkout without links would make a wheel without most of coachc."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))
from coachc.links import missing_links

message = missing_links()
if message:
    sys.exit(message)
setup()
