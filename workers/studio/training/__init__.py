"""The stages that make the studio model: parts, renders, latents, networks, weights."""
