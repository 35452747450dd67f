"""The lab beside the product: it measures the numbers of the pages in `docs/`, and ships in no wheel.

The lab imports the product; the product never imports the lab. `python -m benchmarks` and `ipo benchmark` find the lab
from the root of a checkout: `methods=benchmarks.lab.coop:CoOp`.

Each file here is a benchmark, such as `python -m benchmarks.size`; `lab/` has what commands and grids need.
"""
