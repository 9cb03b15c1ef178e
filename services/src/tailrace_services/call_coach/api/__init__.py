"""What both implementations answer to: the interface, the web routes, errors and callers."""
