"""What is public is listed, importable, documented and typed."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import netc


@pytest.mark.parametrize("name", sorted(set(netc.__all__) - {"__version__"}))
def test_a_public_name_is_there_and_documented(name):
    assert inspect.getdoc(getattr(netc, name))


@pytest.mark.parametrize("name", ["check", "load", "summary", "train"])
def test_public_functions_are_typed(name):
    signature = inspect.signature(getattr(netc, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = netc.nothing


def test_importing_the_package_imports_neither_torch_nor_numpy():
    code = "import sys, netc; assert not {'torch', 'numpy', 'cv2'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_dir_lists_what_is_public():
    assert set(netc.__all__) <= set(dir(netc))
