"""Makes `only` importable: it is also run as a script."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
