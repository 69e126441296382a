"""One API in front of many image-generation providers: submit once, verify, normalise, copy, publish."""
