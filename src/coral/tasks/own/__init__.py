"""Tasks over data of one's own: `choices` and `open` read records of many shapes."""
