"""Requests and responses of the first version, a module for each tool."""
