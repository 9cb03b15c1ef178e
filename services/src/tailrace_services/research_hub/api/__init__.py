"""What both implementations answer to: the interface, the web routes, and who asks."""
