"""What several tests share: builders of nouns, and the samples."""
