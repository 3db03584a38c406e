"""Model families: one self-contained file each, all behind `protocol.Family`."""

import os

# The libraries read these once, when they are imported. Their progress bars and their advice to install
# more of their own would run through a worker's log; who wants to read it sets the variables.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
