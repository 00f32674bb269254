"""What recipes that train many models share: preparation, runs, records."""
