"""One job: from a configuration to a result on disk."""
