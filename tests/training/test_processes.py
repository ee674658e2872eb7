"""Several processes: what they learned comes back whole, and a failure of one ends all with its reason."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys
import numpy as np, torch
from kinbits import DataError
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method
from kinbits.methods.orthohash import OrthoHash
from kinbits.training import FeatureSet, TrainingSettings, train

class Failing(OrthoHash):
    def end_epoch(self, epoch, train):
        if torch.distributed.get_rank() == 1:
            if sys.argv[1] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"refused": DataError, "fault": ZeroDivisionError}[sys.argv[1]]("row 7 is odd")
        torch.distributed.barrier()  # waits for the one that failed

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    spec = Spec(64, 512, 60, LabelSpace(("a", "b", "c")))
    torch.manual_seed(0)
    method = build_method("orthohash", spec) if sys.argv[1] == "fine" else Failing(spec)
    head = sum(tensor.nbytes for tensor in method.head.state_dict().values())
    assert head > 1 << 16, head
    data = FeatureSet(rng.normal(size=(60, 512)).astype(np.float32), np.arange(60) % 3)
    options = dict(epochs=2, batch_size=20, progress=False, accelerator="cpu", devices=2)
    try:
        history = train(method, data, TrainingSettings(**options))
        torch.manual_seed(0)
        alone = build_method("orthohash", spec)
        other = train(alone, data, TrainingSettings(**options | {"devices": 1}))
        for key, tensor in alone.state_dict().items():
            torch.testing.assert_close(method.state_dict()[key], tensor, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose([e["loss"] for e in history.epochs], [e["loss"] for e in other.epochs], rtol=1e-4)
        print("the same as one process", history.best_epoch)
    except Exception as error:
        print(type(error).__name__, str(error).strip().splitlines()[-1])
"""


def outcome(folder: Path, how: str) -> str:
    """Run the script in a process group of its own, which is ended with everything in it."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    own = {**os.environ, "TMPDIR": str(folder)}
    started = subprocess.Popen(
        [sys.executable, str(script), how], stdout=subprocess.PIPE, text=True, start_new_session=True, env=own
    )
    try:
        return started.communicate(timeout=90)[0].strip()
    except subprocess.TimeoutExpired:
        pytest.fail("the processes wait for each other")
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("fine", "the same as one process 1"),
        ("refused", "DataError row 7 is odd"),
        ("fault", "ProcessRaisedException ZeroDivisionError: row 7 is odd"),
        (
            "killed",
            "PlatformError a training process was ended by SIGKILL; if memory was full, use fewer devices or a smaller "
            "batch_size",
        ),
    ],
)
def test_more_than_a_pipe_holds_comes_back_and_one_failure_ends_all(tmp_path, how, told):
    folder = tmp_path / "#1 of?%41"  # a name that is no part of an address
    folder.mkdir()
    assert outcome(folder, how) == told
    assert not list(folder.glob("kinbits-*"))
