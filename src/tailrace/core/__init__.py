"""Pure decisions that two rooms or more need: state and time in, a value out. No I/O, no clock, no randomness."""
