"""One thread: two tests on two cores would otherwise wait for each other's threads at every layer."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
