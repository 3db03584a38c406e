"""The GPU side: the only place that imports torch, diffusers and transformers."""
