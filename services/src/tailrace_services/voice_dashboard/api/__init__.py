"""The service's one interface: bodies, routes, errors, authentication and the definitions of its figures.

The two implementations, ``baseline`` and ``optimised``, fill in :class:`~.dashboard.Dashboard` and nothing else.
"""
