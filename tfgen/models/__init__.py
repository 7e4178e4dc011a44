"""One model family a file. Models know nothing of files or recipes."""
