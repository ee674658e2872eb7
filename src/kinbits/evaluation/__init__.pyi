from .baselines import UNCOMPRESSED, rank_features
from .directions import CROSS_MODAL, IMAGE_TO_IMAGE, Direction
from .evaluator import evaluate
from .leakage import leakage
from .neighbours_kept import NeighboursKept, neighbours_kept
from .relevance import relevance_of
from .report.charts import line_chart
from .report.examples import Example, Neighbour, Pictures, example_of
from .report.report import Report
from .report.shared import hits_html, html_page
from .row import Row
from .searches import Search, Searches
from .training_free import BASELINES, CROSS_MODAL_BASELINE

__all__ = [
    "BASELINES",
    "CROSS_MODAL",
    "CROSS_MODAL_BASELINE",
    "IMAGE_TO_IMAGE",
    "UNCOMPRESSED",
    "Direction",
    "Example",
    "Neighbour",
    "NeighboursKept",
    "Pictures",
    "Report",
    "Row",
    "Search",
    "Searches",
    "evaluate",
    "example_of",
    "hits_html",
    "html_page",
    "leakage",
    "line_chart",
    "neighbours_kept",
    "rank_features",
    "relevance_of",
]
