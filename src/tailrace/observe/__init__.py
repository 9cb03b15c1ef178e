"""What happens, as figures: the catalogue of metrics, the registry that counts them, and their exposition."""

from tailrace.observe.aside import counting_aside
from tailrace.observe.catalogue import CATALOGUE, Metric
from tailrace.observe.metrics import Metrics, fan_out
from tailrace.observe.process import watch_loop
from tailrace.observe.prometheus import CONTENT_TYPE, exposition
from tailrace.observe.siblings import folder_for_workers, share_figures

__all__ = [
    "CATALOGUE",
    "CONTENT_TYPE",
    "Metric",
    "Metrics",
    "counting_aside",
    "exposition",
    "fan_out",
    "folder_for_workers",
    "share_figures",
    "watch_loop",
]
