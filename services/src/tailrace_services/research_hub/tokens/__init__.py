"""What tokens are: who has how many, how they move exactly once, and whether it all adds up."""
