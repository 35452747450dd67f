"""`report.html`: a run as a page that a person reads, made from the files of its run directory and nothing else."""

from ipo_prompts.experiments.report.page import compare_page, run_page, write_report

__all__ = ["compare_page", "run_page", "write_report"]
