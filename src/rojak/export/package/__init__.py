"""Everything about a finished model in one folder that can be handed over, and the check of such a folder."""
