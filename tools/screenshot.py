"""Make the image in the README: the beginning of the page of a run, as a browser shows it.

python -m tools.screenshot runs/RUN
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

IMAGE = Path(__file__).parents[1] / "docs" / "images" / "report.png"


def main(run: Path) -> None:
    """Write the image, with 128 colours."""
    page = (run / "report.html").absolute().as_uri()
    look = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1100,1150", f"--screenshot={IMAGE}"]
    subprocess.run(["chromium", *look, page], check=True)
    Image.open(IMAGE).convert("RGB").quantize(128).save(IMAGE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
