"""A pickle is a program; ours must read data and run nothing."""

import builtins
import collections
import datetime
import functools
import operator
import os
import pickle
import pickletools
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinbits.data import read_pickle
from kinbits.data.sources.safe_pickle import _ALLOWED, _Steps
from kinbits.errors import DataError, PlatformError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def written(tmp_path, value, protocol=None):
    path = tmp_path / "data.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    return path


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


ARRAYS = [
    np.arange(6, dtype=np.uint8).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(12).reshape(3, 4)[:, ::2],
    np.array([1.5, -2.0], ">f4"),
    np.array([True, False]),
    np.array(["im1", "image 22"]),
    np.array([b"im1", b"im22"]),
    np.zeros((0, 4), np.int32),
    np.array(7, np.int16),
    np.array([1 + 2j]),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back_as_they_were(tmp_path, array, protocol):
    found = read_pickle(written(tmp_path, {"a": array, "again": [array]}, protocol))
    assert same(array, found["a"])
    assert same(array, found["again"][0])
    assert found["a"].flags.writeable


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(PLAIN, st.sampled_from(PROTOCOLS))
def test_plain_data_come_back_as_they_were(tmp_path_factory, value, protocol):
    assert same(value, read_pickle(written(tmp_path_factory.getbasetemp(), value, protocol)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_numbers_and_ordered_dicts_become_plain(tmp_path, protocol):
    value = {"n": np.int64(3), "x": np.float32(0.5), "b": b"abc", "raw": b"\xff\x00"}
    found = read_pickle(written(tmp_path, collections.OrderedDict(value), protocol))
    assert found == {"n": 3, "x": 0.5, "b": "abc", "raw": b"\xff\x00"}


def test_texts_and_arrays_of_python_2_are_read(tmp_path):
    # What Python 2 writes for {'data': numpy.arange(3, dtype='uint8'), 'filenames': ['a.png']}: str is SHORT_BINSTRING.
    text = lambda word: b"U" + bytes([len(word)]) + word  # noqa: E731
    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    new = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array = new + b"(K\x01K\x03\x85" + dtype + b"\x89" + text(b"\x00\x01\xfe") + b"tb"
    pickled = b"\x80\x02}(" + text(b"data") + array + text(b"filenames") + b"]" + text(b"a.png") + b"au."
    found = read_pickle(written(tmp_path, pickled))
    assert found["data"].tolist() == [0, 1, 254]
    assert found["filenames"] == ["a.png"]


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def malicious(mark):
    """Programs that would leave a file at ``mark``, or reach for what could."""
    command = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, command),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "open": Calls(open, str(mark), "w"),
        "subprocess": Calls(subprocess.check_call, ["touch", str(mark)]),
        "getattr": Calls(getattr, "text", "upper"),
        "import": Calls(builtins.__import__, "os"),
        "partial": Calls(functools.partial, os.system, command),
        "map": Calls(map, os.system, [command]),
        "attrgetter": Calls(operator.attrgetter("system"), "os"),
        "inside an array": {"easy": [np.arange(3), Calls(os.system, command)]},
        "as a key": {Calls(eval, "1"): 2},
        "numpy.load": Calls(np.load, str(mark)),
        "numpy memmap": Calls(np.memmap, str(mark), "uint8", "w+", 0, (4,)),
        "bytearray": Calls(bytearray, 10**12),
        "datetime": datetime.datetime(2020, 1, 1),
        "a class": int,
        "a function": len,
        "object array": np.array([{"a": 1}, None], dtype=object),
        "record array": np.zeros(2, [("a", "i4"), ("b", "O")]),
    }


NAMES = sorted(malicious(""))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path, name, protocol):
    mark = tmp_path / "mark"
    path = written(tmp_path, malicious(mark)[name], protocol)
    with pytest.raises(DataError, match=r"data\.pkl: (the pickle asks for|damaged pickle)"):
        read_pickle(path)
    assert not mark.exists()


def test_the_attack_is_real(tmp_path):
    # Without this, the test above could pass because its pickles are harmless.
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(malicious(mark)["os.system"]))
    assert mark.exists()


HAND_WRITTEN = {
    "global system, old opcode": b"cos\nsystem\n(S'touch MARK'\ntR.",
    "instance opcode": b"(S'touch MARK'\nios\nsystem\n.",
    "object opcode": b"(cos\nsystem\nS'touch MARK'\no.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch MARK\x85R.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x16core.multiarray.scalar\x93.",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"Psomething\n.",
    "allowed function as value": b"cnumpy\ndtype\n.",
    "state of an allowed function": b"cnumpy\ndtype\n}S'_make'\nI1\nsb.",
    "slots of an allowed function": b"cnumpy\ndtype\n(N}S'_make'\nI1\nstb.",
    "new of an allowed function": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "array without state": b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
    "array with a wrong state": b"cnumpy.core.multiarray\n_reconstruct\n(tRI1\nb.",
    "huge shape without data": b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1000000000\nI1000000000\n"
    b"tcnumpy\ndtype\n(S'u1'\ntRI00\nS''\ntb.",
    "object dtype with bytes": b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1\ntcnumpy\ndtype\n(S'O8'\ntRI00\n"
    b"S'AAAAAAAA'\ntb.",
    "scalar of objects": b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\ntRS'AAAAAAAA'\ntR.",
    "other codec": b"c_codecs\nencode\n(S'a'\nS'zlib'\ntR.",
    "call of ndarray": b"cnumpy\nndarray\n(I100000\ntR.",
    "state of a finished number": b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'u1'\ntRS'A'\ntR(N}S'value'\n"
    b"cnumpy\ndtype\nstb.",
    "memo that is not there": b"g7\n.",
    "unknown opcode": b"\x00.",
    "empty": b"",
    "no end": pickle.dumps([1, 2, 3])[:-1],
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_hand_written_programs_are_refused_and_do_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.pkl: (the pickle asks for|damaged pickle)"):
        read_pickle(written(tmp_path, HAND_WRITTEN[name]))
    assert not (tmp_path / "MARK").exists()
    assert np.dtype("u1").itemsize == 1


def test_nothing_that_the_file_names_is_imported(tmp_path):
    (tmp_path / "trap.py").write_text("open('sprung', 'w').close()\n\n\nclass Item:\n    pass\n")
    path = written(tmp_path, b"ctrap\nItem\n(tR.")
    code = "import pathlib, sys; sys.path.insert(0, '.'); from kinbits.data import read_pickle; "
    code += f"read_pickle(pathlib.Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "the pickle asks for 'trap.Item'" in done.stderr
    assert not (tmp_path / "sprung").exists()


def test_every_truncation_and_many_flips_end_in_our_error(tmp_path):
    whole = pickle.dumps({"imlist": ["a", "b"], "gnd": [{"easy": np.arange(5), "bbx": [1.0, 2.0]}]}, protocol=2)
    rng = np.random.default_rng(0)
    damaged = [whole[:end] for end in range(len(whole))]
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    refused = 0
    for data in damaged:
        try:
            read_pickle(written(tmp_path, data))
        except DataError:
            refused += 1
    assert refused >= len(whole)


def test_deep_nesting_is_an_error_not_a_crash(tmp_path):
    with pytest.raises(DataError, match="nested too deeply"):
        read_pickle(written(tmp_path, b"]" * 200_000 + b"a" * 199_999 + b"."))


def test_ten_bytes_cannot_ask_for_all_memory(tmp_path):
    code = (
        "import pathlib, re, sys; from kinbits.data import read_pickle; "
        "assert read_pickle(pathlib.Path(sys.argv[1])) is None; "
        "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    path = written(tmp_path, b"Nr\xff\xff\xff\x7f.")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # kB


def test_a_list_inside_itself_ends(tmp_path):
    loop = [1]
    loop.append(loop)
    assert read_pickle(written(tmp_path, loop)) == [1, None]


def test_a_missing_file_is_no_damaged_pickle(tmp_path):
    with pytest.raises(PlatformError, match="cannot be read"):
        read_pickle(tmp_path / "none.pkl")


def test_the_allowed_names_are_few_and_known():
    # Whoever adds one must think about what a hostile file can do with it.
    assert {module.partition(".")[0] for module, _ in _ALLOWED} == {
        "_codecs",
        "__builtin__",
        "builtins",
        "collections",
        "numpy",
    }
    assert {name for _, name in _ALLOWED} == {
        "OrderedDict",
        "_frombuffer",
        "_reconstruct",
        "bytes",
        "dtype",
        "encode",
        "ndarray",
        "scalar",
    }


def test_hand_written_programs_are_programs():
    # The refusals above must not all come from our own typing errors.
    readable = 0
    for program in HAND_WRITTEN.values():
        try:
            readable += sum(1 for _ in pickletools.genops(program)) > 0
        except Exception:  # pickletools raises many kinds
            continue
    assert readable >= len(HAND_WRITTEN) - 6


SAME_HASH = [k * (2**61 - 1) for k in range(20_000)]  # all have the hash 0: a dict of them takes quadratic time
FLOATS = [float(2**k) * 2.0**61 for k in range(60)]


class Ordered:
    """Pickles to OrderedDict(pairs), as Python 2 wrote it."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __reduce__(self):
        return collections.OrderedDict, (self.pairs,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: {key: 0 for key in SAME_HASH[:50]}, "a key of type int"),
        (lambda: {(key, key): 0 for key in SAME_HASH[:50]}, "a key of type tuple"),
        (lambda: {key: 0 for key in FLOATS}, "a key of type float"),
        (lambda: {None: 0}, "a key of type NoneType"),
        (lambda: Ordered([(key, 0) for key in SAME_HASH]), "a key of type int"),
        (lambda: set(SAME_HASH[:50]), "a set|set'"),
        (lambda: frozenset(SAME_HASH[:50]), "a set|set'"),
    ],
)
def test_keys_that_can_be_made_to_collide_are_refused_before_they_are_hashed(tmp_path, build, told, protocol):
    with pytest.raises(DataError, match=f"the pickle asks for .*({told})"):
        read_pickle(written(tmp_path, build(), protocol))


def test_many_keys_of_one_hash_are_refused_at_once(tmp_path):
    start = time.monotonic()
    for program in (
        b"}(" + b"".join(b"L%dL\nN" % key for key in SAME_HASH) + b"u.",
        b"(" + b"".join(b"L%dL\nN" % key for key in SAME_HASH) + b"d.",
        b"}" + b"".join(b"L%dL\nNs" % key for key in SAME_HASH) + b".",
        b"N" + b"".join(b"p%d\n" % key for key in SAME_HASH[1:]) + b".",
    ):
        with pytest.raises(DataError, match=r"asks for (a key of type int|place 2305843009213693951)"):
            read_pickle(written(tmp_path, program))
    assert time.monotonic() - start < 5  # seconds; hashing them takes minutes


def test_one_buffer_that_is_referred_to_again_and_again_is_refused(tmp_path):
    array = np.zeros(2**16, np.uint8)
    whole = pickle.dumps([array], protocol=2)
    assert read_pickle(written(tmp_path, whole))[0].nbytes == 2**16
    raw = array.tobytes().decode("latin1").encode("utf8")
    head = b"\x80\x02X" + len(raw).to_bytes(4, "little") + raw + b"q\x000]"
    dtype = b"cnumpy\ndtype\nU\x02u1\x85R"
    one = b"cnumpy.core.multiarray\n_reconstruct\n(tR(K\x01J\x00\x00\x01\x00\x85" + dtype + b"\x89h\x00tba"
    for times, most in ((2, 10), (50, 0)):
        path = written(tmp_path, head + one * times + b".")
        if most:
            assert [a.nbytes for a in read_pickle(path)] == [2**16] * times
        else:
            with pytest.raises(DataError, match="far more arrays than the file has bytes for"):
                read_pickle(path)


def test_a_program_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_Steps, "left", 1000)
    assert read_pickle(written(tmp_path, b"N" + b"N0" * 499 + b".")) is None
    with pytest.raises(DataError, match="more than 5,000,000 steps"):
        read_pickle(written(tmp_path, b"N" + b"N0" * 500 + b"."))


def test_tuples_that_hold_each_other_many_times_take_no_time(tmp_path):
    assert read_pickle(written(tmp_path, b")" + b"2\x86" * 200 + b"."))[0][0] is not None


def test_a_huge_number_takes_no_time(tmp_path):
    path = written(tmp_path, b"\x80\x02\x8b" + (2**22).to_bytes(4, "little") + b"\x7f" * 2**22 + b".")
    assert read_pickle(path).bit_length() == 8 * 2**22 - 1


def test_a_pipe_is_no_pickle(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(PlatformError, match="not a regular file"):
        read_pickle(tmp_path / "pipe.pkl")
