"""From what a user names or hands in to a model: servers, checkpoints, functions, commands, people."""
