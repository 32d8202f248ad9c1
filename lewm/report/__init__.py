"""Reports of an evaluation: pages, charts, films, and tables on the screen."""

from lewm.report.page import save_page
from lewm.report.run_evaluation import evaluate_run
from lewm.report.saving import save_evaluation
from lewm.report.summary import print_results

__all__ = ["evaluate_run", "print_results", "save_evaluation", "save_page"]
