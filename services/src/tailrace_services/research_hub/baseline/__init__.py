"""The service as it was: nothing prepared, nothing kept, one query for each thing that is shown."""
