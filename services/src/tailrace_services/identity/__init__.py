"""Who asks: API keys and short-lived tokens, checked against the service's own rows. What the services share."""
