"""Call Coach: sales managers coach representatives from recorded calls."""
