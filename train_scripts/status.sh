#!/usr/bin/env bash
# Shows what is done, running, waiting and failed, and why; see -h.
cd "$(dirname "${BASH_SOURCE[0]}")/.." && exec "${PYTHON:-.venv/bin/python}" -m fairseq_xling.runs.status "$@"
