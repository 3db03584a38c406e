"""Speaking to the server with the host's Qt network, never blocking the window."""
