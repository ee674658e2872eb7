"""Settings of the whole suite."""

import os

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OMP_NUM_THREADS"] = "1"  # tests run side by side; more threads would only wait for each other
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing may reach for the network
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
