"""What several recipes share: `Run`, exact resume, training GANs and VAEs, measuring samples."""
