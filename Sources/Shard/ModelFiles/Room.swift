/// What is found on disk, and refused where it is not understood.
