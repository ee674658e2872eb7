"""Experiments: methods x bits x seeds x protocols from one YAML file, one CSV row per run, tables from the rows."""

from kinbits.bench._experiment import Experiment, Run
from kinbits.bench._results import Results
from kinbits.bench._runner import Failure, bench
from kinbits.bench._tables import Cell, Comparison

__all__ = ["Cell", "Comparison", "Experiment", "Failure", "Results", "Run", "bench"]
