"""Experiments: methods x bits x seeds x protocols from one YAML file, CSV rows for each trial, tables from the rows."""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
