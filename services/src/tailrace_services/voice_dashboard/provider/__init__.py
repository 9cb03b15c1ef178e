"""The voice provider: the service's client of it, and a simulator of its public contract.

``client`` asks for configurations and answers with what there is when the provider does not; ``simulator`` (with
``catalogue`` and ``faults``) is the provider for development, tests and measurements.
"""
