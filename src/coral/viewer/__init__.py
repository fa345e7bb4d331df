"""The viewer: a page in the browser that shows what happened in runs."""
