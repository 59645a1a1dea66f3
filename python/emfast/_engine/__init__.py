"""What works on volumes block by block, behind :mod:`emfast.blocks`.

``grid``      which blocks there are, and where each lies
``plan``      sides of blocks and how many at once, so that the work fits into memory
``job``       what is done with one block
``threads``   who works: the threads of this process, and the loop that hands out blocks
``cluster``   or the workers of a Dask cluster
``journal``   what is done already, on disk
``identity``  what a job is, in words: whether a journal is of this one
``values``    what blocks gave, as a list or made one
``reduce``    in which order they are made one
``mended``    such a volume as a source, and the notes of what was taken for zeros
``pieces``    a volume with damaged pieces, read as far as it is sound
``verified``  a volume that is compared with the journal of the run that wrote it
"""
