"""What runs have recorded is told: as numbers (`curves`), as a figure (`plotting`), as one HTML page (`page`)."""
