"""The first version of the API: its schemas and its routes, and nothing that another version needs."""
