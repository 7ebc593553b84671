"""The loss that INT8 causes, and where: variants of one model, each compared with FP32 on the same speech.

This needs the extras `legato[convert]` and `legato[evaluate]`.
"""

from legato.convert.quantize import DEFAULT_RECIPE
from legato.lab.study.conclusion import conclude
from legato.lab.study.figures import Change, Figures
from legato.lab.study.investigation import investigate
from legato.lab.study.plan import Plan
from legato.lab.study.plot import draw
from legato.lab.study.report import as_markdown, tables
from legato.lab.study.results import Outcome, Study

__all__ = [
    "DEFAULT_RECIPE",
    "Change",
    "Figures",
    "Outcome",
    "Plan",
    "Study",
    "as_markdown",
    "conclude",
    "draw",
    "investigate",
    "tables",
]
