"""The tools, without web and database: what each is asked, what it answers, and what both implementations derive."""
