"""What the lesson stands on: files and data, a training around its updates, images on the screen.

A student need not open it.  One rule keeps it apart: support/ imports nothing of the lesson except
imresize and metrics.  A test holds it.
"""
