"""Annotations beside pictures: boxes and masks in the formats that tools write, and whose pictures they are."""
