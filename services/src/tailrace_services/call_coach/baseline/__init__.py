"""The service as it was: ORM queries one after the other, no index but those of keys, everything live."""
