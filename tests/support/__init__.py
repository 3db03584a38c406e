"""What tests share: servers from wheels, and real worker processes."""
