"""Reports of an evaluation: pages, charts, films, and tables on the screen."""

from lewm.report.page import save_page
from lewm.report.saving import save_evaluation
from lewm.report.summary import print_results

__all__ = ["print_results", "save_evaluation", "save_page"]
