"""One file a noun. Every route names the scope that it needs by the kind of caller that it takes."""
