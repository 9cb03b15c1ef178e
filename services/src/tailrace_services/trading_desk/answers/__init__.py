"""Answers to questions about documents: what they are made from, how they are worded, as which events they go out."""
