#!/usr/bin/env bash
# Sends experiments to Slurm or to this machine; see -h.
cd "$(dirname "${BASH_SOURCE[0]}")/.." && exec "${PYTHON:-.venv/bin/python}" -m fairseq_xling.runs.submit "$@"
