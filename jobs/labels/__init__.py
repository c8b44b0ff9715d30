"""Labels that were computed, beside the code that computed them: what a recipe learns from where nobody drew a mask."""
