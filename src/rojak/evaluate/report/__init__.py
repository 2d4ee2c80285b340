"""The report: one HTML file with every result in it, and its main tables as Markdown."""

from rojak.evaluate.report.markdown import write_markdown_report
from rojak.evaluate.report.page import write_report

__all__ = ["write_markdown_report", "write_report"]
