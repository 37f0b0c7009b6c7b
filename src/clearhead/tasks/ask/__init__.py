"""Questions answered from a person's own documents: read, cut into passages, indexed, found again, and cited."""
