"""The GPU side: the only place that imports torch, diffusers and transformers."""

import os

# Threads that wait for others sleep, they do not spin: two programs with a thread for each core would hold
# each other up. OpenMP reads it when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
