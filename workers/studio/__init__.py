"""The embedded studio model: parts in named materials, from their exact geometry, on a CPU."""

from workers.studio.autoencoder import StudioAutoencoder
from workers.studio.control import control_tensor
from workers.studio.hints import StudioHintEncoder
from workers.studio.pipeline import StudioPipeline

__all__ = ["StudioAutoencoder", "StudioHintEncoder", "StudioPipeline", "control_tensor"]
