#!/usr/bin/env bash
# Build the wheel, and test it with each supported Python on this machine: tools/check_wheel.sh [PYTHON...]
#
# Each Python gets a virtual environment with the wheel and the tested versions of the packages, and runs the tests from
# a folder without the sources, so that files that the wheel lacks are detected.
set -euo pipefail
unset PYTHONPATH
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pythons=("$@")
if [ ${#pythons[@]} -eq 0 ]; then
    for version in 3.11 3.12 3.13; do
        found=$(command -v "python$version" || ls -d "$HOME"/.pyenv/versions/"$version".*/bin/python 2>/dev/null | tail -1)
        [ -n "$found" ] && "$found" -c '' 2>/dev/null && pythons+=("$found")
    done
fi
[ ${#pythons[@]} -gt 0 ] || { echo "found none of Python 3.11 to 3.13"; exit 1; }
"${pythons[0]}" -m venv "$work/build"
"$work/build/bin/pip" -q wheel --no-deps -w "$work" .
for python in "${pythons[@]}"; do
    name=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "Python $name: $python"
    "$python" -m venv "$work/$name"
    "$work/$name/bin/pip" -q install "$(ls "$work"/netc-*.whl)[test]" -c tools/constraints.txt
    mkdir "$work/run-$name"
    cp -r tests models README.md pyproject.toml "$work/run-$name"
    (
        cd "$work/run-$name"
        PATH="$work/$name/bin:$PATH"
        netc --version
        caffe train --solver=models/lenet/solver.prototxt --weights= 2>&1 | tail -1
        netc test models/lenet/train_val.prototxt --weights=models/lenet/lenet_iter_500.caffemodel --all 2>&1 | tail -2
        netc deploy models/lenet/train_val.prototxt deploy.prototxt
        netc convert deploy.prototxt --weights models/lenet/lenet_iter_500.caffemodel --to onnx --output lenet.onnx
        netc verify deploy.prototxt lenet.onnx --weights models/lenet/lenet_iter_500.caffemodel | tail -1
        pytest -q tests/cli tests/text tests/layers tests/test_inspection.py
    )
done
echo "the wheel of $root works with ${#pythons[@]} versions of Python"
