"""What a terminal, a notebook and a log show of progress."""

import os
import pty
import sys
import termios
import threading
import types
from contextlib import contextmanager

import pytest

from kinbits._util import Bar, progress


def _read(master, screen):
    screen.write("\0")  # a mark, since what a terminal gets arrives in pieces
    screen.flush()
    data = b""
    while not data.endswith(b"\0"):
        data += os.read(master, 100_000)
    return data[:-1].decode()


@pytest.fixture
def terminal(monkeypatch):
    """A context with standard error as a terminal of 80 columns; it gives a function that reads what was written."""
    monkeypatch.setattr(progress, "INTERVAL", 0)

    @contextmanager
    def opened(columns=80):
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24 if columns else 0, columns))
        with open(slave, "w") as screen, monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", screen)
            yield lambda: _read(master, screen)
        os.close(master)

    return opened


@pytest.mark.parametrize("columns", [80, 0])  # a terminal without a size is taken for one of 80 columns
def test_a_terminal_shows_a_bar_that_goes_away(terminal, columns):
    with terminal(columns) as read, Bar("encoding images", 200, True) as bar:
        bar.update(50, text="loss 0.5")
        shown = read()
        bar.__exit__(None, None, None)
        last = read()
    assert "encoding images" in shown
    assert " 25 %" in shown
    assert "loss 0.5" in shown
    assert last.startswith("\r")
    assert not last.strip()  # the line is empty again


def test_a_message_stands_on_a_line_of_its_own(terminal):
    with terminal() as read, Bar("encoding images", 200, True) as bar:
        bar.update(50)
        progress.write_line("skipped a.jpg: damaged")
        assert "\rskipped a.jpg: damaged\r\n" in read()


@pytest.mark.parametrize("asked", [False, True])
def test_a_terminal_shows_nothing_unless_both_the_caller_and_the_process_want_it(terminal, asked):
    progress.show(not asked)
    try:
        with terminal() as read:
            with Bar("encoding", 2, asked) as bar:
                bar.update(1)
            progress.write_line("end")
            assert read() == "end\r\n"
    finally:
        progress.show(True)


@pytest.mark.parametrize("shell", [None, object()])
def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch, shell):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))  # imported is not started
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    with Bar("encoding\x1b[2J images", 2000, True) as bar:
        bar.update(10)  # too early
        monkeypatch.setattr(bar, "last", bar.last - progress.LOG_INTERVAL)
        bar.update(1500, text="so far")
        bar.update(1600)
    assert capsys.readouterr().err == r"encoding\x1b[2J images: 1,500 of 2,000 so far" + "\n"


def test_a_notebook_gets_tqdms_bar(capsys, monkeypatch):
    shell = types.SimpleNamespace(kernel="a kernel")
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "INTERVAL", 0)
    with Bar("encoding", 4, True) as bar:
        bar.update(1)
        assert isinstance(bar._bar, __import__("tqdm").tqdm)
    assert " 25 %" in capsys.readouterr().err


def test_a_bar_starts_no_thread(terminal):
    before = threading.active_count()
    with terminal(), Bar("encoding", 4, True) as bar:
        bar.update(1)
        assert threading.active_count() == before
