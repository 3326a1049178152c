"""One verb a file. A verb reads as the steps an operator would say aloud; no SQL, HTTP or argv in it."""
