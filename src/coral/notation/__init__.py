"""Lists, mappings and choices as files write them."""
