"""Reading and checking bars and macro series. What cannot be decided is refused with its place and reason."""
