"""The embedded studio model."""
