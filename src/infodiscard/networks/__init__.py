"""Networks: how their layers are addressed, read and left as they were."""
