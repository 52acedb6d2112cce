"""Long work beside the live streams: one child process a job, its state in the database."""
