"""torchrun: two machines train one model, which is that of one process, and a lost process ends all with a reason."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import kinbits
from kinbits import UsageError
from kinbits.methods import get_method, list_methods
from kinbits.training import TrainingSettings, check_hardware

ROWS = 60
LONGEST = 240  # seconds, on a busy machine
STALLS = """
import os, pathlib, signal, time
from kinbits.methods import register
from kinbits.methods.orthohash import OrthoHash

@register("stalls")
class Stalls(OrthoHash):
    \"\"\"Waits in the second epoch of its first run, so that a test can end a process there.\"\"\"

    def start_epoch(self, epoch, train):
        here = pathlib.Path(__file__).parent
        if epoch == 1 and not (here / "go").exists():
            (here / f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
            if os.environ["RANK"] == "1":
                time.sleep(240)  # until it is killed
"""


EVERY_METHOD = """
import sys, warnings
import numpy as np, torch
from kinbits.data import LabelSpace
from kinbits.methods import Spec, build_method, get_method, describe_method
from kinbits.training import FeatureSet, TrainingSettings, end_process, join_processes, train

warnings.simplefilter("ignore")
rank, _ = join_processes()
rows, settings = 60, TrainingSettings(epochs=2, batch_size=20, accelerator="cpu", progress=False)
space = LabelSpace.with_levels(tuple("abcd"), [([0, 0, 1, 1], ("x", "y"))])
rng = np.random.default_rng(0)
labels = np.arange(rows) % 4
images, texts = (rng.normal(size=(4, 16))[labels] + rng.normal(size=(rows, 16)) for _ in range(2))
images, texts = images.astype(np.float32), texts.astype(np.float32)

def trained(name, together):
    cls = get_method(name)
    made = describe_method(name).codes_name
    bits = cls.default_bits(16, {}) if made == "scaled codes" else 8
    spec = Spec(bits, 16, rows, space, 16 if cls.reads_text else None, 0, (4, 2, 2) if cls.reads_maps else None)
    torch.manual_seed(0)
    method = build_method(name, spec, **({"words": 16} if made == "product codes" else {}))
    views = [images + 0.1, images - 0.1]
    train(method, FeatureSet(images, labels, texts if cls.reads_text else None, views), settings, together=together)
    return method.state_dict()

for name in sys.argv[1:]:
    alone, both = trained(name, False), trained(name, True)
    same = all(torch.equal(tensor, both[key]) for key, tensor in alone.items() if isinstance(tensor, torch.Tensor))
    if rank == 0:
        print(name, same, flush=True)
end_process(0)
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "KINBITS_DEBUG": ""}


def nodes(folder, *arguments):
    """Start torchrun twice, as two machines would, with a process and a folder of what it prints for each."""
    port, started = str(free_port()), []
    for rank in "01":
        command = ["--nnodes", "2", "--node-rank", rank, "--nproc-per-node", "1"]
        command += ["--master-addr", "127.0.0.1", "--master-port", port]
        command += ["--redirects", "3", "--log-dir", tempfile.mkdtemp(prefix="printed-", dir=folder)]
        command = [sys.executable, "-m", "torch.distributed.run", *command, "-m", "kinbits", "fit", *arguments]
        started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=folder,
                env=environment(),
            )
        )
    return started


def outcomes(started):
    """Return each exit code, and what the process itself, without torchrun, printed to its output and as errors."""
    try:
        for one in started:
            one.communicate(timeout=LONGEST)
    finally:
        end(started)
    folders = [Path(one.args[one.args.index("--log-dir") + 1]) for one in started]
    printed = [[next(folder.rglob(f"std{name}.log")).read_text() for name in ("out", "err")] for folder in folders]
    return [(one.returncode, *texts) for one, texts in zip(started, printed, strict=True)]


def end(started):
    """End torchrun by the signal on which it ends its processes; they are in sessions of their own."""
    for one in started:
        if one.poll() is None:
            one.terminate()
    for one in started:
        one.communicate(timeout=LONGEST)


@pytest.fixture
def folder(tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(ROWS) % 3
    images = rng.integers(0, 255, (ROWS, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    np.savez(tmp_path / "vectors.npz", vectors=rng.normal(size=(ROWS, 8)).astype(np.float32), labels=labels)
    (tmp_path / "stalls.py").write_text(STALLS)
    return tmp_path


def option_words(**options):
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.slow
def test_two_machines_train_the_model_of_one_process_and_the_first_one_alone_writes_and_prints(folder):
    options = {"bits": 8, "epochs": 2, "backbone": "convnet-small", "batch_size": 20, "validation": 0.2}
    options |= {"method": "csq", "augmentation": "none", "accelerator": "cpu"}
    first, second = outcomes(nodes(folder, "images.npz", "-o", "model", "--json", *option_words(**options)))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert second[1:] == ("", "")
    together = kinbits.HashModel.from_pretrained(folder / "model")
    assert json.loads(first[1])["fingerprint"] == together.fingerprint
    alone = kinbits.fit(kinbits.open_dataset(folder / "images.npz"), **options, progress=False)
    made, other = (model.training for model in (together, alone))
    assert len(made["history"]) == 2
    # batch norm sees the share of each process, so the first loss agrees and later ones come near
    np.testing.assert_allclose(made["history"][0]["loss"], other["history"][0]["loss"], rtol=0.2)
    assert {one.name for one in folder.iterdir() if "model" in one.name} == {"model"}


def wait_for(path, started):
    deadline = time.monotonic() + LONGEST
    while not (path.exists() and path.read_text()):
        if time.monotonic() > deadline or any(one.poll() is not None for one in started):
            end(started)
            pytest.fail("the processes did not come so far")
        time.sleep(0.05)
    return int(path.read_text())


@pytest.mark.slow
def test_a_killed_process_ends_all_with_a_reason_and_the_run_goes_on_from_its_checkpoint(folder):
    command = ["vectors.npz", "-o", "model", "--bits", "8", "--method", "stalls.py", "--epochs", "3", "--accelerator"]
    started = nodes(folder, *command, "cpu")
    os.kill(wait_for(folder / "pid-1", started), signal.SIGKILL)
    first, second = outcomes(started)
    assert first[0]
    assert second[0]
    assert "lost the others: one of them has ended" in first[2]
    assert "goes on" not in first[1]
    assert not (folder / "model").exists()
    (folder / "go").touch()
    first, second = outcomes(nodes(folder, *command, "cpu", "--resume"))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    resumed = kinbits.HashModel.from_pretrained(folder / "model")
    data = kinbits.open_dataset(folder / "vectors.npz")
    options = {"bits": 8, "epochs": 3, "progress": False, "accelerator": "cpu", "cache": None}
    assert resumed.fingerprint == kinbits.fit(data, method="orthohash", **options).fingerprint
    assert len(resumed.training["history"]) == 3


OF_EACH_KIND = ["adsh", "csq", "dcmh", "distillhash", "itq", "pq"]


@pytest.mark.slow
@pytest.mark.parametrize("names", [OF_EACH_KIND, pytest.param(None, id="all", marks=pytest.mark.exhaustive)])
def test_methods_learn_the_same_in_two_processes(tmp_path, names):
    ours = [name for name in list_methods() if get_method(name).__module__.startswith("kinbits.")]  # tests add others
    names = names or ours
    (tmp_path / "every.py").write_text(EVERY_METHOD)
    command = [
        "--nproc-per-node",
        "2",
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(free_port()),
        "every.py",
        *names,
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=2 * LONGEST,
    )
    assert ran.stdout.splitlines() == [f"{name} True" for name in names], ran.stderr[-2000:]


@pytest.fixture
def two_of_four(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("two_of_four")
def test_what_torchrun_cannot_do_is_refused_before_any_work(monkeypatch):
    check_hardware(TrainingSettings(accelerator="cpu"))
    with pytest.raises(UsageError, match=r"devices is 2, but torchrun has started 4 processes; leave devices out"):
        check_hardware(TrainingSettings(devices=2, accelerator="cpu"))
    with pytest.raises(UsageError, match=r"a defence trains in one process, and torchrun has started 4"):
        check_hardware(TrainingSettings(defence="saat", accelerator="cpu"))
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(UsageError, match=r"2 of 5 processes are on this machine; start equally many"):
        check_hardware(TrainingSettings(accelerator="cpu"))
