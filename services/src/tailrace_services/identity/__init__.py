"""Who asks: API keys and short-lived tokens, checked against the service's own rows. What both services share."""
