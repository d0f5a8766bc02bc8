"""From a model and a setting to a plan, and why: everything between import and emission."""
