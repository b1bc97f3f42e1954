"""Breaking the project on purpose: damaged files, kills, full disks, strange machines; all of it by `make torture`."""

import os

# before torch: its threads would be missing in forked children, which then wait for them for ever
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"
