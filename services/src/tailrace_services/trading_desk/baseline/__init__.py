"""The service as it was born: every row read anew, every total counted by loading what is counted."""
