"""The service as it was: right, and slow for honest reasons.

Plain SQLAlchemy as a team writes it that ships features: every figure is aggregated from the raw rows when somebody
asks, one statement after another, one more for each agent, and one provider call after another. Nothing here waits or
works without need; it is the code that grew, kept as it was so that it can be compared with what became of it.
"""
