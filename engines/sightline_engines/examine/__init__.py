"""Look at uploads in a child process that can harm nothing, and bring back what they are."""
