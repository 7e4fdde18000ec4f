"""Settings of every test run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the tests run side by side, on small networks
