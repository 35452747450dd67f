"""The lab beside the product: it measures what the pages in `docs/` say, and ships in no wheel.

It imports the product, and the product never imports it. It is found from the root of a checkout, where
`python -m benchmarks` and `ipo benchmark` look for it: `methods=benchmarks.lab.linear_probe:LinearProbe`.

Each file here is a benchmark, such as `python -m benchmarks.step`; what commands and grids need is in `lab/`.
"""
