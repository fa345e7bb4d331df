"""People in the seats of conversations, in their browsers: `coral chat TASK --web`."""
