"""What runs in the jail, on the standard library alone, sent there as code. It imports nothing of Coral."""
