"""Is data my bottleneck, and what do I change? Answered with numbers, measured on the user's own data.

`examine` plans its measurements by the time there is (`schedule`), runs them in turn with the present settings
(`measure`, `steps`, `copies`), compares (`ratios`) and judges (`verdict`). What decides is pure.
"""

from mtgen.doctor.examination import examine
from mtgen.doctor.ratios import Comparison
from mtgen.doctor.report import Report
from mtgen.doctor.verdict import Delivery, Finding, Training, Verdict

__all__ = ["Comparison", "Delivery", "Finding", "Report", "Training", "Verdict", "examine"]
