"""Methods are listed from their files, which are not run for it."""

import subprocess
import sys

import pytest

from kinbits.errors import UsageError
from kinbits.methods import MethodInfo, describe_method, get_method, list_methods
from kinbits.methods.catalogue import method_files

OWN = '''
from kinbits.methods import Method, Recipe, register


@register("{name}")
class Own(Method):
    """Do next to nothing.

    Args:
        pull: Weight of nothing.
    """

    supervision = "none"
    recipe = Recipe(epochs=2 + 1)

    def __init__(self, spec, *, pull: float = 1 / 8) -> None:
        super().__init__(spec)
'''


@pytest.mark.parametrize("name", sorted(method_files()))
def test_a_file_says_what_its_class_says(name):
    assert MethodInfo.from_source(name, *method_files()[name]) == MethodInfo.from_class(get_method(name))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("itq", "training-free"),
        ("cibhash", "unsupervised"),
        ("softmax", "baselines"),
        ("softmax-quantization", "baselines"),
        ("orthohash", "supervised"),
        ("bcdh", "supervised"),
        ("cca", "images and texts"),
        ("dcmh", "images and texts"),
    ],
)
def test_methods_stand_in_groups(name, group):
    assert describe_method(name).group == group


def test_listing_and_describing_run_no_file_of_a_method():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from kinbits.methods import describe_method, list_methods\n"
        "print(len([describe_method(name).summary for name in list_methods()]), describe_method('csq').recipe['lr'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(method_files())), "0.001"]


def test_a_method_of_a_users_own_is_described_by_its_class(tmp_path):
    file = tmp_path / "own_method.py"
    file.write_text(OWN.format(name="own-for-the-catalogue"))
    found = describe_method(str(file))
    assert (found.name, found.summary, found.supervision) == ("own-for-the-catalogue", "Do next to nothing.", "none")
    assert found.recipe["epochs"] == 3
    assert [(one.name, one.default) for one in found.parameters] == [("pull", 0.125)]
    assert "own-for-the-catalogue" in list_methods()


def test_the_name_of_a_published_method_is_taken_before_it_is_first_used(tmp_path):
    file = tmp_path / "taken.py"
    file.write_text(OWN.format(name="adsh"))
    code = f"from kinbits.methods import get_method; get_method({str(file)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UsageError: two methods are called 'adsh': Adsh, Own" in done.stderr.replace("kinbits.errors.", "")


def test_an_unknown_name_is_told_with_its_neighbours():
    with pytest.raises(UsageError, match=r"unknown method 'orthohas'; did you mean orthohash"):
        describe_method("orthohas")
