"""A run folder -> one HTML page that explains it: tables, plots, pictures, and every scene in 3D.
No network, no other files.
"""

from maquette.evaluate.report.page import write_report

__all__ = ["write_report"]
