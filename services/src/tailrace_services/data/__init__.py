"""What the services' databases share: connections, migrations, loads, command lines. Knows none of the services."""
