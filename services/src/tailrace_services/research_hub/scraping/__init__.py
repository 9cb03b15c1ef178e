"""From a URL that somebody names to posts: asked past the guard, read without trust, whatever answers."""
