"""What INT8 costs and where: variants of one model, each compared with FP32 on the same speech.

Needs the extras `legato[convert]` and `legato[evaluate]`.
"""

from legato.convert.recipes import DEFAULT_RECIPE
from legato.study.conclusion import conclude
from legato.study.investigation import Plan, investigate
from legato.study.plot import draw
from legato.study.report import as_markdown, tables
from legato.study.results import Outcome, Study
from legato.study.score import Figures, Interval

__all__ = [
    "DEFAULT_RECIPE",
    "Figures",
    "Interval",
    "Outcome",
    "Plan",
    "Study",
    "as_markdown",
    "conclude",
    "draw",
    "investigate",
    "tables",
]
