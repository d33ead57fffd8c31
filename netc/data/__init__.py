"""Sources that feed nets."""

from netc.data.opening import open_source
from netc.data.source import Batch, Records, Source, Statistics

__all__ = ["Batch", "Records", "Source", "Statistics", "open_source"]
