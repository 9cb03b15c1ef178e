"""Start everything the services need and serve them: servers, databases, data, the provider's simulator, workers.

``ground`` readies the servers, ``databases`` the services' databases on them, ``supervisor`` keeps processes alive,
``commands`` is the command ``tailrace-services up`` that puts them together.
"""
