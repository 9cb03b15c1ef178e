"""What runs where servers are somebody else's, as in containers: ``serve``, ``prepare``, ``work`` and ``relay``.

``up`` starts servers and keeps these processes alive itself; here that is for whoever starts them.
"""
