"""Sources of images, one module for each kind of file or data set."""
