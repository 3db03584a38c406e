"""The judge behind `workers.fidelity`: a small network that compares a picture with the true maps, place by
place, and what is made of its answer. Its weights lie beside it; `workers.studio.training` makes them."""
