"""Why a template won: what its words do, which classes gain, which pictures flip."""
