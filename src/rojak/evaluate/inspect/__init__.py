"""`rojak inspect`: what prepared data holds, suspicious clips first, as one HTML page or as JSON."""

from rojak.evaluate.inspect.survey import Survey, survey_prepared
from rojak.evaluate.inspect.write import inspect, recorded_counter, survey_document

__all__ = ["Survey", "inspect", "recorded_counter", "survey_document", "survey_prepared"]
