"""What is kept: models, their measurements and jobs in a database, their files by content."""
