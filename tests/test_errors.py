"""The tree of exceptions: every class survives its journey between processes, and the docstring draws the tree."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest

from encdec_batch import errors
from encdec_batch.errors import EncdecError, SpecError, together


def subclasses(kind: type[EncdecError]) -> list[type[EncdecError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in subclasses(below))]


CLASSES = list(dict.fromkeys(subclasses(EncdecError)))


def drawn_tree() -> dict[str, str]:
    """Class to its parent, as the docstring of the module draws them."""
    tree: dict[str, str] = {}
    above = ["EncdecError"]
    for line in errors.__doc__.splitlines():
        branch = line.find("── ")
        if branch < 0:
            continue
        depth = branch // 4 + 1
        name = line[branch + 3 :].split()[0]
        tree[name] = above[depth - 1]
        above[depth:] = [name]
    return tree


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_class_survives_pickling_with_all_it_says(kind, protocol):
    error = kind("what, where", hint="what to do", uri="s3://a/b", blocks=("0-0", "0-1"))
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (again.message, again.hint, again.context) == (error.message, error.hint, error.context)
    assert str(again) == "what, where; what to do"
    assert again.args == error.args


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_can_be_copied_and_needs_no_hint(kind):
    again = copy.deepcopy(kind("what"))
    assert (str(again), again.hint, again.context) == ("what", "", {})


def test_the_tree_is_the_one_that_is_documented():
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not EncdecError}
    assert drawn_tree() == real


def test_all_errors_of_the_package_stand_in_one_module():
    names = {kind.__name__ for kind in CLASSES}
    elsewhere = [
        (path.name, node.name)
        for path in Path(errors.__file__).parent.rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and {base.id for base in node.bases if isinstance(base, ast.Name)} & names
    ]
    assert elsewhere == []


def test_a_wrong_window_is_a_value_error_too():
    assert issubclass(errors.WindowError, ValueError)


def test_the_words_of_others_are_left_out_where_names_are_private():
    for error in (ValueError("Doernbecher^Janetta is no number"), MemoryError("Doernbecher^Janetta is too long")):
        assert "Doernbecher" in errors.unexpected(error, "read").message
        said = errors.unexpected(error, "read", private=True)
        assert "Doernbecher" not in str(said)
    assert (
        errors.unexpected(ValueError("Doernbecher"), "read", private=True).message == "read failed: ValueError (read)"
    )


def test_what_two_checks_find_is_said_once():
    def wrong(words: str) -> None:
        raise SpecError(words)

    with pytest.raises(SpecError) as caught:
        together(lambda: wrong("this"), lambda: wrong("this"))
    assert caught.value.message == "this"
    with pytest.raises(SpecError, match="2 things"):
        together(lambda: wrong("this"), lambda: wrong("this"), lambda: wrong("that"))
