"""Experiments: methods x bits x seeds x protocols from one YAML file, one CSV row per run, tables from the rows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
