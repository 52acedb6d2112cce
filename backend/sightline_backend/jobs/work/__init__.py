"""What the jobs do, in child processes: one module a kind, each with a `run(request, work)`."""
