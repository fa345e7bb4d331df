"""People in their browsers: in the seats of conversations, and on the blind pages that the viewer opens."""
