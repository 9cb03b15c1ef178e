"""What both implementations share: addresses, bodies, who asks, which pages there are."""
