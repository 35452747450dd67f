"""The demo CLIP and the shifted images that ship with IPO.

The names of the domains do not say which transformations the images have. The describer and the language model must
find the words by the images, so no path may contain these words. `tools/embedded` in a checkout builds these files
again. The module `shifts` renders images, and gives names to sets of images. This package is quick to import.
"""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent

MODEL_DIR: Final[Path] = _HERE / "model"
IMAGES_DIR: Final[Path] = _HERE / "images"
SPLIT_FILE: Final[Path] = _HERE / "split.json"
DOMAINS: Final[tuple[str, ...]] = ("a", "b", "c", "d")
CLEAN_DOMAIN: Final = "b"
"""The domain without any transformation."""
