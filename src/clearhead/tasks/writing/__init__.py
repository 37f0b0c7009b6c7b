"""Essays: a plan, then paragraph by paragraph, each sentence held back until it is known to be whole and new."""
