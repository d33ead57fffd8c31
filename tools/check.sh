#!/usr/bin/env bash
# All checks that a change must pass: format, lint, types, generated files, tests with doctests.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${VIRTUAL_ENV:-.venv}/bin
"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/python" tools/generate_schema.py --check
[ "${1:-}" = --no-tests ] || "$bin/pytest" -q
