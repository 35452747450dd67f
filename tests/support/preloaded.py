"""What each run reads besides its imports, read by the fork server: the nouns, of which it needs a second of work."""

from ipo_prompts.experiments.data.strangers import strangers

strangers(["cat"])
