"""Tools of other programs, over the Model Context Protocol.

A server may hang, flood, lie, change its mind or die: each has a bounded end here, and none ends the session. What a
server says, names and descriptions included, is text by others.
"""
