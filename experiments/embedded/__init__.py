"""The small CLIP and the shifted pictures that ship with IPO.

The domains have opaque names on purpose: describer and language model must find the words from the pictures, so no path
may give the words away. `tools/embedded` in a checkout rebuilds these files; `shifts` renders pictures and names sets
of pictures. Importing this package costs nothing.
"""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent

MODEL_DIR: Final[Path] = _HERE / "model"
PICTURES_DIR: Final[Path] = _HERE / "pictures"
SPLIT_FILE: Final[Path] = _HERE / "split.json"
DOMAINS: Final[tuple[str, ...]] = ("a", "b", "c", "d")
CLEAN_DOMAIN: Final = "b"
"""The domain without any transformation."""
